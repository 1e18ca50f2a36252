// The Secret API: Daytona's wire form, and what proxies need besides. `createSecretApi` is the way in.
//
//   route.ts     one way to define a route: access, input, answer; openapi.ts writes the document from the definitions
//   caller.ts    bearer credential → Caller with permissions, before a body is read
//   fields.ts    checked forms of what requests carry      problem.ts   the one form of error answers
//   console-*.ts the console at `/`: its files, and what it asks besides
//   *-routes.ts  one file per noun                         change-hub.ts, change-routes.ts   the stream of changes
//
// What holds: values leave only by the egress and resolve calls, to credentials with resolve:secrets; no answer, error
// or log repeats a request's body; another organization's ids answer 404; a write is answered after it is durable.

import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from "fastify";
import type { DeploymentRules } from "../core/explain.ts";
import { Newcomers } from "../core/newcomers.ts";
import type { Clock } from "../core/ports.ts";
import type { MasterKeyRotation, Store } from "../core/store.ts";
import { apiKeyRoutes } from "./api-key-routes.ts";
import { auditRoutes } from "./audit-routes.ts";
import { Callers } from "./caller.ts";
import { ChangeHub } from "./change-hub.ts";
import { ChangeStreams } from "./change-routes.ts";
import { registerConsole } from "./console-page.ts";
import { consoleRoutes } from "./console-routes.ts";
import { egressRoutes } from "./egress-routes.ts";
import { explainRoutes } from "./explain-routes.ts";
import { LoginGuard } from "./login-guard.ts";
import { DEFAULT_AUDIT_RETENTION_MS, Maintenance } from "./maintenance.ts";
import { masterKeyRoutes } from "./master-key-routes.ts";
import { openApiRoutes } from "./openapi.ts";
import { organizationRoutes } from "./organization-routes.ts";
import { concernsOperator, errorBody, Problem, problemOf } from "./problem.ts";
import { proxyRoutes } from "./proxy-routes.ts";
import { publicRoutes } from "./public-routes.ts";
import { ResolveAudit } from "./resolve-audit.ts";
import { type AnyRoute, register } from "./route.ts";
import { sandboxRoutes } from "./sandbox-routes.ts";
import { secretRoutes } from "./secret-routes.ts";
import { sessionRoutes } from "./session-routes.ts";
import { Sessions } from "./sessions.ts";
import { Traffic } from "./traffic-routes.ts";

export interface SecretApiOptions {
  /** Not closed by the API. */
  readonly store: Store;
  /** Bootstrap API key: every permission but resolving. */
  readonly apiKey?: string | undefined;
  /** The proxies' credential: resolving alone, for all organizations. */
  readonly proxyKey?: string | undefined;
  /** How sandboxes reach the proxy, as `http://host:port`; asked when needed. */
  readonly proxyUrl: () => string;
  /** The certificate authority's certificate, PEM. */
  readonly caCertificate: () => string;
  readonly logger?: FastifyBaseLogger | undefined;
  /** Changes the master key and seals all values under it; by default they are sealed under the current one. */
  readonly rotateMasterKey?: (() => Promise<MasterKeyRotation>) | undefined;
  /** Of keyswap, for the console. */
  readonly version?: string | undefined;
  /** How long audit entries are kept; 90 days by default. */
  readonly auditRetentionMs?: number | undefined;
  /** Wrong credentials that one address may show in a minute; 60 by default. */
  readonly maxFailedLogins?: number | undefined;
  /** Connections on which no right credential was shown yet, beyond which the oldest is closed; 2,000 by default. */
  readonly maxNewcomers?: number | undefined;
  /** How this deployment's proxies decide now, for explanations; as without any setting by default. */
  readonly rules?: (() => DeploymentRules) | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: ((size: number) => Uint8Array) | undefined;
}

export interface SecretApi {
  /** Port 0 takes a free one. The URL ends in `/api`. */
  listen(host: string, port: number): Promise<{ readonly url: string }>;
  close(): Promise<void>;
  /** For tests: requests without a socket. */
  readonly app: FastifyInstance;
}

const defaultRules: DeploymentRules = {
  egress: { allow: [], deny: [] },
  defaults: {
    locations: (["header", "basic", "path", "query", "body"] as const).map((surface) => ({ surface, part: undefined })),
    onViolation: "pass",
  },
  intercept: "granted",
  tunnelHosts: [],
  plainHttpHosts: [],
  allowPrivate: [],
  bufferBytes: 1_048_576,
};
const defaultMaxFailedLogins = 60;
const defaultMaxNewcomers = 2_000;
/** Routes whose writes change what a sandbox may use. */
const heardByProxies = /^\/api\/(secret|sandbox)\b/;

/** The longest legal create: a value of 64 KiB, every byte escaped as \u00XX. */
const BODY_LIMIT = 512 * 1024;
const silent: FastifyBaseLogger = {
  level: "silent",
  fatal: () => undefined,
  error: () => undefined,
  warn: () => undefined,
  info: () => undefined,
  debug: () => undefined,
  trace: () => undefined,
  silent: () => undefined,
  child: () => silent,
} as unknown as FastifyBaseLogger; // pino's type has more; Fastify calls only these.

export async function createSecretApi(options: SecretApiOptions): Promise<SecretApi> {
  const { store } = options;
  // One key that both manages and resolves would undo the separation of the two.
  if (options.apiKey !== undefined && options.apiKey === options.proxyKey)
    throw new TypeError("the API key and the proxy key must differ");
  const clock = options.clock ?? Date.now;
  const logger = options.logger ?? silent;
  const app = makeApp(logger, clock);
  const sessions = new Sessions(clock);
  const guard = new LoginGuard(options.maxFailedLogins ?? defaultMaxFailedLogins, clock, logger);
  const callers = new Callers(store, clock, sessions, guard, options);
  const hub = new ChangeHub(store.changes, logger);
  const streams = new ChangeStreams(hub, store.changes, callers);
  const audit = new ResolveAudit(store.audit, clock, logger);
  const retention = options.auditRetentionMs ?? DEFAULT_AUDIT_RETENTION_MS;
  const traffic = new Traffic(store, clock, callers);
  const maintenance = new Maintenance(store, clock, logger, retention);

  const routes: readonly AnyRoute[] = [
    ...secretRoutes(store.secrets, options.random),
    ...sandboxRoutes({
      store: store.sandboxes,
      clock,
      proxyUrl: options.proxyUrl,
      caCertificate: options.caCertificate,
      ...(options.random === undefined ? {} : { random: options.random }),
    }),
    ...egressRoutes(store, clock, audit),
    ...proxyRoutes(store, clock, options.caCertificate),
    streams.route,
    ...apiKeyRoutes(store, clock, options.random),
    ...organizationRoutes(store.organizations),
    ...masterKeyRoutes(store, clock, options.rotateMasterKey ?? (() => store.rotateMasterKey())),
    ...auditRoutes(store.audit),
    ...sessionRoutes(sessions, callers, options.version ?? "0"),
    ...traffic.routes,
    ...consoleRoutes({
      store,
      clock,
      hub,
      traffic,
      version: options.version ?? "0",
      proxyUrl: options.proxyUrl,
      caCertificate: options.caCertificate,
    }),
    ...explainRoutes(store, clock, options.rules ?? (() => defaultRules)),
    ...publicRoutes(store, options.caCertificate),
  ];
  const newcomers = new Newcomers(options.maxNewcomers ?? defaultMaxNewcomers);
  app.server.on("connection", (socket) => newcomers.add(socket));
  for (const definition of [...routes, ...openApiRoutes(routes)]) {
    register(app, callers, definition, ({ raw }) => newcomers.settle(raw.socket));
  }
  registerConsole(app);

  // A write is answered after the proxies on this replica's streams were told: what its caller does next meets it in force.
  app.addHook("onSend", async (request, reply) => {
    const isHeard = request.method !== "GET" && heardByProxies.test(request.routeOptions.url ?? "");
    if (isHeard && reply.statusCode < 300) await hub.tellStreams();
  });
  app.addHook("preClose", async () => {
    streams.close();
    traffic.close();
  });
  app.addHook("onClose", async () => {
    await maintenance.close();
    await hub.close();
    await audit.close();
  });
  await hub.start();
  maintenance.start();
  return {
    app,
    listen: async (host, port) => {
      await app.listen({ host, port });
      const address = app.server.address();
      if (address === null || typeof address === "string") throw new TypeError("listening without an address");
      const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
      return { url: `http://${shown}:${address.port}/api` };
    },
    close: () => app.close(),
  };
}

function makeApp(logger: FastifyBaseLogger, clock: Clock): FastifyInstance {
  const app = Fastify({
    loggerInstance: logger,
    // Its lines would hold the URL with its query; ours below do not.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    requestTimeout: 30_000,
    // For proxies and SDKs that hold connections; longer than their own idle times.
    keepAliveTimeout: 72_000,
    forceCloseConnections: "idle",
    // Routes have no schemas of the framework's: zod checks what comes in. Without these two it would load ajv.
    schemaController: { compilersFactory: { buildValidator: noCompiler, buildSerializer: noCompiler } },
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 512 },
    // The TypeScript SDK joins its API URL and the path: a final slash in the URL makes two.
    rewriteUrl: (request) => {
      const url = request.url ?? "/";
      const at = url.indexOf("?");
      return at === -1 ? url.replace(/\/{2,}/g, "/") : url.slice(0, at).replace(/\/{2,}/g, "/") + url.slice(at);
    },
    frameworkErrors: (error, request, reply) => {
      const problem = problemOf(error) ?? new Problem(400, "Malformed request");
      const body = errorBody(pathOf(request.originalUrl), problem.status, problem.message, clock());
      // The framework's type ties statuses to a schema; there is none.
      void (reply as FastifyReply).code(problem.status).send(body);
    },
  });

  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, async (_request: unknown, body: Buffer) => {
    // Some clients send the type with no body, on DELETE for one.
    if (body.length === 0) return undefined;
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) as unknown;
    } catch {
      // V8's message quotes the text.
      throw new Problem(400, "Request body is not valid JSON");
    }
  });

  app.addHook("onSend", async (_request, reply) => {
    if (!reply.hasHeader("cache-control")) reply.header("cache-control", "no-store");
    reply.header("x-content-type-options", "nosniff");
  });
  app.addHook("onResponse", async (request, reply) => {
    const { url, method } = request.routeOptions;
    logger.info(
      {
        method: String(method ?? request.method),
        route: url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      "request",
    );
  });
  app.setNotFoundHandler(async (request, reply) => {
    reply.code(404);
    return errorBody(pathOf(request.originalUrl), 404, "There is no such route", clock());
  });
  app.setErrorHandler(async (error, request, reply) => {
    const problem = problemOf(error);
    const status = problem?.status ?? 500;
    if (concernsOperator(error)) logger.error({ err: error, route: request.routeOptions.url }, "request failed");
    if (problem !== undefined) reply.headers(problem.headers);
    reply.code(status);
    return errorBody(pathOf(request.originalUrl), status, problem?.message ?? "Internal server error", clock());
  });
  return app;
}

function noCompiler(): never {
  throw new TypeError("routes have no schemas of the framework's: see route.ts");
}

function pathOf(url: string): string {
  const at = url.indexOf("?");
  return at === -1 ? url : url.slice(0, at);
}
