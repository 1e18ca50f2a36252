import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChangePosition } from "../../src/secrets/change-position.ts";
import type { ChangeMessage } from "../../src/secrets/wire.ts";

const hello = (version: string): ChangeMessage => ({ kind: "hello", version });
const beat = (version: string): ChangeMessage => ({ kind: "heartbeat", version });
const change = (version: string, ...sandboxes: string[]): ChangeMessage & { kind: "change" } => ({
  kind: "change",
  version,
  sandboxes,
  sources: false,
});

/** A position that has heard everything up to this version. */
function at(version: string): ChangePosition {
  const position = new ChangePosition();
  position.take(hello(version));
  return position;
}

describe("a position in the sequence of changes", () => {
  it("begins with a gap: what was there before is not known", () => {
    const position = new ChangePosition();
    expect(position.current).toBe(false);
    expect(position.take(hello("7"))).toEqual({ kind: "gap" });
    expect(position).toMatchObject({ current: true, version: "7" });
  });

  it("hands changes on", () => {
    const position = at("7");
    expect(position.take(change("8", "a", "b"))).toEqual({ kind: "changed", sandboxes: ["a", "b"], sources: false });
    expect(position.version).toBe("8");
    expect(position.take({ ...change("9"), placeholder: "dtn_secret_shared" })).toEqual({
      kind: "changed",
      sandboxes: [],
      placeholder: "dtn_secret_shared",
      sources: false,
    });
  });

  it("is current at once after a reconnect in which nothing had happened", () => {
    const position = at("7");
    position.disconnect();
    expect(position).toMatchObject({ current: false, version: "7" });
    expect(position.take(hello("7"))).toEqual({ kind: "nothing" });
    expect(position.current).toBe(true);
  });

  it("is current after a reconnect only when the replay has reached the greeting", () => {
    const position = at("7");
    position.disconnect();
    expect(position.take(hello("9"))).toEqual({ kind: "nothing" });
    position.take(change("8", "a"));
    expect(position.current).toBe(false);
    position.take(change("9", "b"));
    expect(position.current).toBe(true);
  });

  it("takes a replay that never comes for a gap", () => {
    const position = at("7");
    position.disconnect();
    position.take(hello("9"));
    expect(position.take(beat("9"))).toEqual({ kind: "nothing" });
    expect(position.current).toBe(false);
    expect(position.take(beat("9"))).toEqual({ kind: "gap" });
    expect(position).toMatchObject({ current: true, version: "9" });
  });

  it("takes a reset for a gap, with or without a version", () => {
    const position = at("7");
    position.disconnect();
    position.take(hello("900"));
    expect(position.take({ kind: "reset", version: undefined })).toEqual({ kind: "gap" });
    expect(position).toMatchObject({ current: true, version: "900" });
    expect(position.take({ kind: "reset", version: "901" })).toEqual({ kind: "gap" });
    expect(position.version).toBe("901");
  });

  it("bears a heartbeat that overtakes a change", () => {
    const position = at("7");
    expect(position.take(beat("8"))).toEqual({ kind: "nothing" });
    position.take(change("8", "a"));
    expect(position.take(beat("8"))).toEqual({ kind: "nothing" });
    expect(position.version).toBe("8");
  });

  it("takes two heartbeats that no change explains for a gap", () => {
    const position = at("7");
    position.take(beat("8"));
    expect(position.version).toBe("7");
    expect(position.take(beat("8"))).toEqual({ kind: "gap" });
    expect(position.version).toBe("8");
  });

  it("will not hear anything before the greeting, nor two greetings", () => {
    expect(new ChangePosition().take(beat("1")).kind).toBe("broken");
    expect(new ChangePosition().take(change("1")).kind).toBe("broken");
    expect(at("7").take(hello("7")).kind).toBe("broken");
  });

  it("lets be what it does not know", () => {
    expect(at("7").take({ kind: "other" })).toEqual({ kind: "nothing" });
  });

  it("never claims to be current while a change is unheard, wherever the connection breaks", () => {
    // A faithful API: versions 1, 2, …; each connection replays what came after the position, and may break anywhere.
    const step = fc.oneof(
      fc.record({ kind: fc.constant("write" as const) }),
      fc.record({ kind: fc.constant("deliver" as const), count: fc.nat(3) }),
      fc.record({ kind: fc.constant("break" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const position = new ChangePosition();
        let written = 5;
        let heard = 0;
        let queue: ChangeMessage[] = [];
        let connected = false;
        const connect = () => {
          queue = [hello(String(written))];
          const from = position.version === undefined ? written : Number(position.version);
          for (let version = from + 1; version <= written; version++)
            queue.push(change(String(version), `s${version}`));
          connected = true;
        };
        connect();
        for (const each of steps) {
          if (each.kind === "write") {
            written++;
            if (connected) queue.push(change(String(written), `s${written}`));
          } else if (each.kind === "break") {
            position.disconnect();
            connect();
          } else {
            for (const message of queue.splice(0, each.count)) {
              const conclusion = position.take(message);
              expect(conclusion.kind).not.toBe("broken");
              // The first greeting is the one gap there is.
              if (conclusion.kind === "gap") heard = message.kind === "hello" ? Number(message.version) : heard;
              if (conclusion.kind === "changed" && message.kind === "change") {
                expect(Number(message.version)).toBe(heard + 1);
                heard++;
              }
            }
          }
          // Current: whatever is unheard is still in this connection's queue, behind what was said when it opened.
          if (position.current) {
            const unheard = queue.filter((message) => message.kind === "change").length;
            expect(heard + unheard).toBe(written);
          }
        }
      }),
    );
  });
});
