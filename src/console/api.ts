// Requests to the Secret API, in the session that the cookie stands for. Every request carries the header without which a
// session does not count.

/** An answer other than success. The message is the API's own, safe to show. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

/** Called when the session has ended. */
let onSignedOut: () => void = () => {};

export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener;
}

export const consoleHeaders: Readonly<Record<string, string>> = { "x-keyswap-console": "1" };

/** `path` is below /api. Throws ApiError; status 0: the API was not reached. */
export async function call<T = void>(method: string, path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      credentials: "same-origin",
      headers: { ...consoleHeaders, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, "The Secret API cannot be reached. Is keyswap running?");
  }
  if (response.status === 401 && path !== "/session") onSignedOut();
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") === true && text !== "";
  // The API's own answers; their types are the API's promise.
  const answer: unknown = isJson ? JSON.parse(text) : undefined;
  if (response.ok) return answer as T;
  const message =
    typeof answer === "object" && answer !== null && "message" in answer && typeof answer.message === "string"
      ? answer.message
      : `The Secret API answered ${response.status}.`;
  throw new ApiError(response.status, message);
}

/** `?a=b`, without what is empty. */
export function queryOf(values: Readonly<Record<string, string | number | null | undefined>>): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "") query.set(key, String(value));
  }
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something failed.";
}
