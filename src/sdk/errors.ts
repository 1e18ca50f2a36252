// Errors of the Secret API as types. Match on the class or on `code`, never on the message. None holds a value: what the API
// says in its answer is repeated only after the value that was sent has been taken out of it.

export type SecretServiceErrorCode =
  | "not-found"
  | "conflict"
  | "validation"
  | "authentication"
  | "authorization"
  | "rate-limited"
  | "server-error"
  /** The API could not be reached. */
  | "connection-failed"
  /** It was reached and did not answer in time. */
  | "timeout"
  /** What answered is no Secret API, or one that we do not understand. */
  | "unexpected-answer";

export interface ErrorContext {
  /** HTTP status; undefined where there was no answer. */
  readonly status?: number | undefined;
  readonly cause?: unknown;
}

export class SecretServiceError extends Error {
  readonly code: SecretServiceErrorCode;
  /** HTTP status; undefined where there was no answer. */
  readonly status: number | undefined;

  constructor(code: SecretServiceErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = "SecretServiceError";
    this.code = code;
    this.status = context.status;
  }
}

export class NotFoundError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext) {
    super("not-found", message, context);
    this.name = "NotFoundError";
  }
}

/** The name is taken. */
export class ConflictError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext) {
    super("conflict", message, context);
    this.name = "ConflictError";
  }
}

/** Something given is not allowed: a name, a host, a size. */
export class ValidationError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext) {
    super("validation", message, context);
    this.name = "ValidationError";
  }
}

/** The API key is unknown, revoked or expired. */
export class AuthenticationError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext) {
    super("authentication", message, context);
    this.name = "AuthenticationError";
  }
}

/** The API key lacks a permission. */
export class AuthorizationError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext) {
    super("authorization", message, context);
    this.name = "AuthorizationError";
  }
}

export class RateLimitError extends SecretServiceError {
  /** When the API would like to be asked again; undefined where it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs: number | undefined, context?: ErrorContext) {
    super("rate-limited", message, context);
    this.name = "RateLimitError";
    this.retryAfterMs = retryAfterMs;
  }
}

/** The API failed, or answered what cannot be understood. */
export class ServerError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext, code: "server-error" | "unexpected-answer" = "server-error") {
    super(code, message, context);
    this.name = "ServerError";
  }
}

/** No answer: whether the call took effect is not known. */
export class ConnectionError extends SecretServiceError {
  constructor(message: string, context?: ErrorContext, code: "connection-failed" | "timeout" = "connection-failed") {
    super(code, message, context);
    this.name = "ConnectionError";
  }
}

/** The error for an answer that is no success. `message` is safe to show. */
export function errorForStatus(status: number, message: string, retryAfterMs: number | undefined): SecretServiceError {
  const context = { status };
  switch (status) {
    case 400:
    case 413:
    case 422:
      return new ValidationError(message, context);
    case 401:
      return new AuthenticationError(message, context);
    case 403:
      return new AuthorizationError(message, context);
    case 404:
    case 410:
      return new NotFoundError(message, context);
    case 409:
      return new ConflictError(message, context);
    case 429:
      return new RateLimitError(message, retryAfterMs, context);
    default:
      return new ServerError(message, context, status >= 500 ? "server-error" : "unexpected-answer");
  }
}
