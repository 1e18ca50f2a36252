// A PostgreSQL cluster of the test run's own: made in a temporary directory, on loopback, ended with it. The server's
// binaries come from PATH or from where Debian's packages put them. It does not run as root, so as root it runs as the
// user `postgres`.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chown, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import pg from "pg";

export interface Cluster {
  /** Makes an empty database; returns its URL. */
  createDatabase(name: string): Promise<string>;
  start(): void;
  /** `immediate` is a crash: no checkpoint, recovery at the next start. */
  stop(mode: "fast" | "immediate"): void;
  /** Whether or not it runs. */
  restart(): void;
  /** Stops the server and removes everything. */
  remove(): Promise<void>;
}

/** Why there is no PostgreSQL to test with; undefined where there is one. */
export function postgresMissing(): string | undefined {
  const isRoot = process.getuid?.() === 0;
  if (binaries() === undefined) return "no initdb on PATH or under /usr/lib/postgresql";
  if (isRoot && owner() === undefined) return "running as root and there is no user postgres";
  return undefined;
}

/** `folder`: where its directory is made; the system's one for temporary files by default. */
export async function startCluster(folder = tmpdir()): Promise<Cluster> {
  const bin = binaries();
  if (bin === undefined) throw new Error("PostgreSQL is missing");
  const user = process.getuid?.() === 0 ? owner() : undefined;
  const directory = await mkdtemp(join(folder, "keyswap-pg-"));
  if (user !== undefined) await chown(directory, user.uid, user.gid);
  const port = await freePort();
  const run = (program: string, ...args: string[]) =>
    execFileSync(join(bin, program), args, {
      cwd: directory,
      stdio: "pipe",
      timeout: 60_000,
      ...user,
      env: { LC_ALL: "C" },
    });
  const data = join(directory, "data");
  run("initdb", "-D", data, "-U", "keyswap", "-A", "trust", "-N");

  const start = () => {
    const settings = `-p ${port} -k ${directory} -c listen_addresses=127.0.0.1`;
    run("pg_ctl", "-D", data, "-w", "-t", "60", "-l", join(directory, "log"), "-o", settings, "start");
  };
  const stop = (mode: "fast" | "immediate") => {
    run("pg_ctl", "-D", data, "-w", "-t", "60", "-m", mode, "stop");
  };
  start();
  return {
    start,
    stop,
    restart: () => {
      try {
        stop("immediate");
      } catch {
        // It had ended by itself.
      }
      start();
    },
    createDatabase: async (name) => {
      const server = `postgres://keyswap@127.0.0.1:${port}`;
      const client = new pg.Client(`${server}/postgres`);
      await client.connect();
      await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
      await client.end();
      return `${server}/${name}`;
    },
    remove: async () => {
      if (existsSync(join(data, "postmaster.pid"))) stop("immediate");
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function binaries(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const places = [...(process.env.PATH ?? "").split(delimiter), ...versions.map((each) => join(debian, each, "bin"))];
  return places.find((place) => existsSync(join(place, "initdb")) && existsSync(join(place, "pg_ctl")));
}

function owner(): { uid: number; gid: number } | undefined {
  const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { stdio: ["ignore", "pipe", "ignore"] }));
  try {
    return { uid: id("-u"), gid: id("-g") };
  } catch {
    return undefined;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}
