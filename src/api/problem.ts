// Errors as clients see them. Messages are ours alone: nothing of a request is ever repeated in one, for a value may
// stand anywhere in it.

// Not imported: an import reads all of a built-in's exports, and `WebSocket` among these loads Node's whole fetch (15 MB).
const { STATUS_CODES } = process.getBuiltinModule("node:http");

/** Ends a request with this status; the message goes to the client. */
export class Problem extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.headers = headers;
  }
}

export function notFound(what: string): Problem {
  return new Problem(404, `${what} not found`);
}

/** The one form of every error answer. `path` has no query. */
export interface ErrorBody {
  readonly path: string;
  readonly timestamp: string;
  readonly statusCode: number;
  readonly error: string;
  readonly message: string;
  readonly source: "DAYTONA_API";
}

export function errorBody(path: string, status: number, message: string, now: number): ErrorBody {
  return {
    path,
    timestamp: new Date(now).toISOString(),
    statusCode: status,
    error: STATUS_CODES[status] ?? "Error",
    message,
    source: "DAYTONA_API",
  };
}

/** Status and message for what a handler or the framework threw; undefined where it is a fault of ours. */
export function problemOf(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && error.name === "StoreError") return storeProblem(String(error.code));
  if ("statusCode" in error && typeof error.statusCode === "number") return frameworkProblem(error.statusCode);
  return undefined;
}

function storeProblem(code: string): Problem | undefined {
  switch (code) {
    case "full":
      return new Problem(507, "The disk of the secret store is full; nothing was written");
    case "unavailable":
    case "locked":
      return new Problem(503, "The secret store cannot be reached; try again later", { "retry-after": "1" });
    case "master-key":
      return new Problem(
        503,
        "The master keys were changed meanwhile; nothing was written. Start again, with the new ones",
      );
    default:
      return undefined;
  }
}

/** Whether its operator has to hear of it: a fault of ours, or keys that are no longer the store's. */
export function concernsOperator(error: unknown): boolean {
  return problemOf(error) === undefined || (error instanceof Error && "code" in error && error.code === "master-key");
}

/** Fastify's own messages can hold parts of the request, so each status has ours. */
function frameworkProblem(status: number): Problem | undefined {
  switch (status) {
    case 400:
      return new Problem(400, "Malformed request");
    case 404:
      return new Problem(404, "Not found");
    case 408:
      return new Problem(408, "The request did not arrive in time");
    case 413:
      return new Problem(413, "Request body is too large");
    case 414:
      return new Problem(414, "Request target is too long");
    case 415:
      return new Problem(415, "Request body must be application/json");
    default:
      return status >= 400 && status < 500 ? new Problem(status, STATUS_CODES[status] ?? "Bad Request") : undefined;
  }
}
