// A process that writes until it is killed. Each line on stdout is a write that the store has answered; the reader may
// count on it. Started by durability.test.ts.

import { randomUUID } from "node:crypto";
import { writeSync } from "node:fs";
import { SecretValue } from "../../src/core/secret-value.ts";
import type { Actor } from "../../src/core/store.ts";
import { openStore } from "../../src/store/open.ts";

const { path, databaseUrl, masterKeys } = JSON.parse(process.argv[2] ?? "{}") as Record<string, string>;
const store = await openStore({ path, databaseUrl, masterKeys: masterKeys ?? "" });
const actor: Actor = { kind: "system", name: "writer" };
const organizationId = store.organizations.defaultId;
const run = randomUUID().slice(0, 8);

/** Straight to the pipe: what is buffered in the process would die with it. */
const answered = (line: string) => writeSync(1, `${line}\n`);

async function write(lane: number): Promise<void> {
  for (let at = 0; ; at++) {
    const name = `W_${run}_${lane}_${at}`;
    const create = await store.secrets.create(
      {
        organizationId,
        name,
        value: new SecretValue(name, `1:${name}`),
        description: null,
        hosts: ["a.example"],
        locations: null,
        onViolation: null,
        placeholder: `dtn_secret_${name.toLowerCase().replace(/[^a-z0-9]/g, "x")}`.padEnd(40, "0"),
        ownPlaceholder: false,
      },
      actor,
    );
    if (create.kind !== "created") throw new Error(create.kind);
    answered(`created ${name}`);
    const { id } = create.secret;
    const box = await store.sandboxes.create(
      {
        id: randomUUID(),
        organizationId,
        name: `box-${name}`,
        tokenHash: "sha256:0",
        labels: {},
        attributes: {},
        onViolation: null,
        egress: { allow: [], deny: [] },
        sources: [],
        mounts: [{ env: "A", secretName: name }],
        expiresAt: null,
      },
      actor,
    );
    if (box.kind !== "created") throw new Error(box.kind);
    answered(`mounted ${name}`);
    await store.secrets.update(
      organizationId,
      id,
      { value: new SecretValue(name, `2:${name}`), hosts: ["b.example"] },
      actor,
    );
    answered(`updated ${name}`);
    if (at % 3 === 0) {
      await store.secrets.delete(organizationId, id, actor);
      answered(`deleted ${name}`);
    }
  }
}

answered("ready");
await Promise.all([0, 1, 2, 3].map(write));
