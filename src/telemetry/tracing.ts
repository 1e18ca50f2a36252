// OpenTelemetry spans, one for each exchange, made of its audit event: the hot path knows nothing of them. Off unless the standard OTEL_
// variables ask for them; the libraries are loaded only then.
//
// A span names the destination, the sandbox, secrets and reasons. It holds no value, no header, no body, and no path, which may hold what
// is confidential to others.

import type { Attributes, Span, Tracer } from "@opentelemetry/api";
import type { AuditEvent, ExchangeEvent } from "../core/audit.ts";
import type { AuditSink } from "../core/ports.ts";
import { parseTraceParent } from "../core/trace-context.ts";
import { settledWithin } from "./settled-within.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Tracing {
  /** Passes every event on. */
  traced(next: AuditSink): AuditSink;
  /** Sends what waits, for a few seconds at most. */
  close(): Promise<void>;
}

const CLOSE_MS = 3_000;

/** By OTEL_SDK_DISABLED, OTEL_TRACES_EXPORTER and the endpoints' variables. Without an endpoint or an exporter: off. */
export function isTracingWanted(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === "true") return false;
  const exporter = env.OTEL_TRACES_EXPORTER?.trim();
  if (exporter !== undefined && exporter !== "") return exporter.split(",").includes("otlp");
  const endpoint = env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? env.OTEL_EXPORTER_OTLP_ENDPOINT ?? "";
  return endpoint !== "";
}

/** Everything else (endpoint, headers, sampler, batches, resource) the libraries take from their variables themselves. */
export async function openTracing(version: string): Promise<Tracing> {
  const [api, node, { OTLPTraceExporter }, resources] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace-node"),
    import("@opentelemetry/exporter-trace-otlp-http"),
    import("@opentelemetry/resources"),
  ]);
  const own = resources.resourceFromAttributes({ "service.name": "keyswap", "service.version": version });
  const given = resources.detectResources({ detectors: [resources.envDetector] });
  const provider = new node.NodeTracerProvider({
    resource: own.merge(given),
    spanProcessors: [new node.BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer("keyswap", version);
  return {
    traced: (next) => ({
      record(event: AuditEvent) {
        next.record(event);
        if (event.type === "exchange") recordSpan(api, tracer, event);
      },
    }),
    close: async () => {
      await settledWithin(
        provider.shutdown().catch(() => {}),
        CLOSE_MS,
      );
    },
  };
}

function recordSpan(api: typeof import("@opentelemetry/api"), tracer: Tracer, event: ExchangeEvent): void {
  const startTime = Date.parse(event.time);
  const parent = event.traceparent === undefined ? undefined : parseTraceParent(event.traceparent);
  const context =
    parent === undefined
      ? api.ROOT_CONTEXT
      : api.trace.setSpanContext(api.ROOT_CONTEXT, {
          traceId: parent.traceId,
          spanId: parent.spanId,
          traceFlags: parent.sampled ? api.TraceFlags.SAMPLED : api.TraceFlags.NONE,
          isRemote: true,
        });
  const attributes = attributesOf(event);
  const span: Span = tracer.startSpan(event.method, { kind: api.SpanKind.CLIENT, startTime, attributes }, context);
  if (event.firstByteMs !== undefined) span.addEvent("first byte", startTime + event.firstByteMs);
  if (event.error !== undefined || (event.status ?? 0) >= 500) span.setStatus({ code: api.SpanStatusCode.ERROR });
  span.end(startTime + event.durationMs);
}

function attributesOf(event: ExchangeEvent): Attributes {
  const { authority = "", substituted, notSubstituted, scrubbed } = event;
  const colon = authority.lastIndexOf(":");
  return {
    "http.request.method": event.method,
    "server.address": authority.slice(0, colon).replace(/^\[|\]$/g, ""),
    "server.port": Number(authority.slice(colon + 1)),
    "network.protocol.name": event.protocol === "websocket" ? "websocket" : "http",
    "network.protocol.version": event.protocol === "h2" ? "2" : "1.1",
    "http.request.body.size": event.requestBytes,
    "http.response.body.size": event.responseBytes,
    "keyswap.sandbox": event.sandbox ?? "",
    "keyswap.way": event.way,
    "keyswap.exchange": event.id,
    ...(event.status === undefined ? {} : { "http.response.status_code": event.status }),
    ...(event.error === undefined ? {} : { "error.type": event.error }),
    ...(substituted.length === 0
      ? {}
      : { "keyswap.substituted": substituted.map(({ secret, surface }) => `${secret} ${surface}`) }),
    ...(notSubstituted.length === 0 ? {} : { "keyswap.not_substituted": notSubstituted.map(({ reason }) => reason) }),
    ...(scrubbed.length === 0 ? {} : { "keyswap.scrubbed": [...scrubbed] }),
  };
}
