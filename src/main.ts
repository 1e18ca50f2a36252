#!/usr/bin/env node
// argv in, exit code out. Nothing but built-ins may be imported statically here: an old Node has to reach the message.

const [major = 0] = process.versions.node.split(".").map(Number);
if (major < 24) {
  process.stderr.write(
    `keyswap needs Node.js 24 or newer; this is ${process.versions.node}.\n` +
      "Install a newer Node.js, or work from a clone, which brings its own: npm ci && npm start\n",
  );
  process.exit(2);
}

const argv = process.argv.slice(2);
// Must run before the commands are loaded.
const { launch } = await import("./cli/launch.ts");
launch(argv);
if (argv[0] === "start") (await import("./cli/api-thread.ts")).spawnApiThreadAhead();
const { main } = await import("./cli/main.ts");
process.exitCode = await main(argv);
