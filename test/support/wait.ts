// Waiting for a condition outside of vitest's own workers, too: the fuzz runner uses the same support files.

/** Calls `check` until it does not throw, and answers what it answered; throws what it threw last. */
export async function waitUntil<T>(check: () => T | Promise<T>, timeoutMs = 10_000, intervalMs = 2): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
