import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // vitest leaves a core free for watching; nobody watches.
    maxWorkers: "100%",
    testTimeout: 30_000,
    hookTimeout: 120_000,
    reporters: ["default", ["json", { outputFile: "test-output/vitest.json" }]],
  },
});
