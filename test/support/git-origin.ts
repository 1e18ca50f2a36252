// A real git server behind an HTTPS origin: `git http-backend` as CGI, for whoever shows the right Basic credentials.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import type { OriginHandler, Seen } from "./origin.ts";

/** Makes a repository `repo.git` with one commit below `folder` and answers a handler that serves it. */
export function serveRepository(folder: string, user: string, password: string): OriginHandler {
  const work = join(folder, "work");
  mkdirSync(work, { recursive: true });
  const git = (...args: string[]): void => {
    execFileSync("git", args, { cwd: work, stdio: "ignore" });
  };
  git("init", "-q", "-b", "main");
  writeFileSync(join(work, "file.txt"), "content\n".repeat(20_000));
  git("add", ".");
  git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "first");
  git("clone", "-q", "--bare", ".", join(folder, "repo.git"));
  const expected = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  return (_request, response, seen) => {
    if (seen.headers.authorization !== expected) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end("no\n");
      return;
    }
    runBackend(folder, user, seen, response);
  };
}

function runBackend(folder: string, user: string, seen: Seen, response: ServerResponse): void {
  const [path = "", query = ""] = seen.url.split("?");
  const backend = spawn("git", ["-c", "safe.directory=*", "http-backend"], {
    env: {
      PATH: process.env.PATH ?? "",
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: seen.method,
      CONTENT_TYPE: String(seen.headers["content-type"] ?? ""),
      CONTENT_LENGTH: String(seen.body.length),
      HTTP_CONTENT_ENCODING: String(seen.headers["content-encoding"] ?? ""),
      REMOTE_USER: user,
    },
  });
  const parts: Buffer[] = [];
  backend.stdout.on("data", (part: Buffer) => parts.push(part));
  backend.on("close", () => {
    const output = Buffer.concat(parts);
    const end = output.indexOf("\r\n\r\n");
    const fields = output.toString("latin1", 0, end).split("\r\n");
    let status = 200;
    for (const field of fields) {
      const [name = "", value = ""] = field.split(/: */, 2);
      if (name === "Status") status = Number.parseInt(value, 10);
      else response.appendHeader(name, value);
    }
    response.writeHead(status).end(output.subarray(end + 4));
  });
  backend.stdin.end(seen.body);
}
