// The OpenAPI document, written from the route definitions, and a page that shows it.

import { z } from "zod";
import type { AnyRoute } from "./route.ts";
import { route, tooManyWrong } from "./route.ts";

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security: readonly Record<string, readonly string[]>[];
  readonly "x-permissions"?: readonly string[];
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required: boolean;
    readonly schema: unknown;
  }[];
  readonly requestBody?: unknown;
  readonly responses: Readonly<Record<string, unknown>>;
}

export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: unknown;
}

const errorSchema = {
  type: "object",
  required: ["path", "timestamp", "statusCode", "error", "message"],
  properties: {
    path: { type: "string" },
    timestamp: { type: "string", format: "date-time" },
    statusCode: { type: "integer" },
    error: { type: "string" },
    message: { type: "string" },
    source: { type: "string" },
  },
};

/** Two public routes: the document and the page. `others` are the routes they describe, besides themselves. */
export function openApiRoutes(others: readonly AnyRoute[]): readonly AnyRoute[] {
  let document: OpenApiDocument | undefined;
  let page: string | undefined;
  const routes: AnyRoute[] = [
    route({
      method: "GET",
      path: "/openapi.json",
      summary: "This document",
      tag: "service",
      access: "public",
      status: 200,
      handle: async () => {
        document ??= describe([...others, ...routes]);
        return document;
      },
    }),
    route({
      method: "GET",
      path: "/docs",
      summary: "This document as a page",
      tag: "service",
      access: "public",
      status: 200,
      handle: async ({ reply }) => {
        document ??= describe([...others, ...routes]);
        page ??= renderPage(document);
        reply.type("text/html; charset=utf-8");
        reply.header(
          "content-security-policy",
          "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        );
        return page;
      },
    }),
  ];
  return routes;
}

export function describe(routes: readonly AnyRoute[]): OpenApiDocument {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const definition of routes) {
    const path = definition.path.replace(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    paths[path][definition.method.toLowerCase()] = operation(definition, path);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "keyswap Secret API",
      version: "1",
      description: "Daytona's secret and sandbox calls, and what egress proxies need besides.",
    },
    servers: [{ url: "/api" }],
    paths,
    components: {
      securitySchemes: { bearer: { type: "http", scheme: "bearer" } },
      schemas: { Error: errorSchema },
    },
  };
}

function operation(definition: AnyRoute, path: string): Operation {
  const fault = (description: string) => ({
    description,
    content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
  });
  const isPublic = definition.access === "public";
  const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
  return {
    operationId: operationId(definition),
    summary: definition.summary,
    tags: [definition.tag],
    security: isPublic ? [] : [{ bearer: [] }],
    ...(typeof definition.access === "string" ? {} : { "x-permissions": definition.access }),
    parameters: [
      ...names.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })),
      ...queryParameters(definition),
    ],
    ...(definition.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: schemaOf(definition.body, "input") } },
          },
        }),
    responses: {
      [definition.status]:
        definition.answer === undefined
          ? { description: "Done" }
          : { description: "Done", content: { "application/json": { schema: schemaOf(definition.answer, "output") } } },
      ...(definition.body === undefined && definition.query === undefined
        ? {}
        : { 400: fault("The request is not valid") }),
      ...(isPublic
        ? {}
        : {
            401: fault("No valid credential"),
            403: fault("The credential lacks the permission"),
            429: fault(tooManyWrong),
          }),
      ...(names.length === 0 ? {} : { 404: fault("Not found, or another organization's") }),
      ...Object.fromEntries(
        Object.entries(definition.faults ?? {}).map(([status, text]) =>
          status === "304" ? [status, { description: text }] : [status, fault(text)],
        ),
      ),
    },
  };
}

function queryParameters(definition: AnyRoute): Operation["parameters"] {
  if (definition.query === undefined) return [];
  const { properties = {}, required = [] } = schemaOf(definition.query, "input");
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.includes(name),
    schema,
  }));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): z.core.JSONSchema.BaseSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: "any", reused: "inline" });
  return rest;
}

/** `getSecretBySecretId`, stable as long as method and path are. */
function operationId(definition: AnyRoute): string {
  const words = definition.path.split(/[/.-]/).filter((word) => word !== "");
  const name = words.map((word) => (word.startsWith(":") ? `By${capital(word.slice(1))}` : capital(word))).join("");
  return definition.method.toLowerCase() + name;
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function renderPage(document: OpenApiDocument): string {
  const rows = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, each]) => {
      const takes = each.parameters.map((parameter) => `${parameter.name} (${parameter.in})`).join(", ");
      const needs = each.security.length === 0 ? "public" : (each["x-permissions"]?.join(" or ") ?? "any credential");
      const details =
        each.requestBody === undefined
          ? ""
          : `<details><summary>Body</summary><pre>${escapeHtml(JSON.stringify(each.requestBody, null, 2))}</pre></details>`;
      const answers = `<details><summary>Answers ${Object.keys(each.responses).join(", ")}</summary><pre>${escapeHtml(JSON.stringify(each.responses, null, 2))}</pre></details>`;
      return `<section><h2><code>${method.toUpperCase()} /api${escapeHtml(path)}</code></h2><p>${escapeHtml(each.summary)}</p>
<p class="needs">Needs: ${escapeHtml(needs)}${takes === "" ? "" : `. Takes: ${escapeHtml(takes)}`}</p>${details}${answers}</section>`;
    }),
  );
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(document.info.title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
h2{font-size:1rem;margin-bottom:0}p{margin:.2rem 0}.needs{opacity:.75}pre{overflow:auto;font-size:.8rem}section{margin:1.5rem 0}</style></head>
<body><h1>${escapeHtml(document.info.title)}</h1><p>${escapeHtml(document.info.description)} The document itself: <a href="/api/openapi.json">/api/openapi.json</a>.</p>
${rows.join("\n")}</body></html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
