// Daytona's Python, Go and Java clients cannot be run here. Their exact requests are vectors, and answers are read as
// strictly as their generated models read them: a body is taken only at the documented status, a missing required field
// or a null where none may be is a failure.

import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { type Answer, startSecretApi, type TestApi } from "../support/secret-api.ts";

let api: TestApi;
beforeAll(async () => {
  api = await startSecretApi();
});
afterAll(() => api.close());

const rfc3339 = z.iso.datetime({ offset: true });
const secretModel = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string().nullish(),
  createdAt: rfc3339,
  placeholder: z.string(),
  hosts: z.array(z.string()),
  updatedAt: rfc3339,
});
const pageModel = z.object({ items: z.array(secretModel), total: z.number(), nextCursor: z.string().nullable() });
const sandboxModel = z.object({
  id: z.string(),
  organizationId: z.string(),
  name: z.string(),
  user: z.string(),
  env: z.record(z.string(), z.string()),
  labels: z.record(z.string(), z.string()),
  public: z.boolean(),
  networkBlockAll: z.boolean(),
  target: z.string(),
  cpu: z.number(),
  gpu: z.number(),
  memory: z.number(),
  disk: z.number(),
  toolboxProxyUrl: z.string().min(1),
  state: z.enum(["started"]),
});

const headersOf = (language: string) => ({
  accept: "application/json",
  "x-daytona-source": `sdk-${language}`,
  "x-daytona-sdk-version": "0.216.0",
  "user-agent": `sdk-${language}/0.216.0`,
});
const send = (language: string, method: string, path: string, body?: string): Promise<Answer> =>
  api.call(method, path, body, { headers: headersOf(language) });

function read<T>(answer: Answer, documentedStatus: number, model: z.ZodType<T>): T {
  expect(answer.status).toBe(documentedStatus);
  expect(answer.headers.get("content-type")).toMatch(/^application\/json\b/);
  return model.parse(answer.body);
}

it("reads as the Python client does: create 201, list, get, update, delete 204", async () => {
  const body = '{"name": "ANTHROPIC", "value": "sk-ant-1", "hosts": ["api.anthropic.com"]}';
  const created = read(await send("python", "POST", "/secret", body), 201, secretModel);
  expect(read(await send("python", "GET", "/secret"), 200, z.array(secretModel))).toHaveLength(1);
  const page = read(await send("python", "GET", "/secret/paginated?limit=100"), 200, pageModel);
  expect(page).toMatchObject({ total: 1, nextCursor: null });
  read(await send("python", "GET", `/secret/${created.id}`), 200, secretModel);
  const updated = await send("python", "PATCH", `/secret/${created.id}`, '{"value": "sk-ant-2"}');
  expect(read(updated, 200, secretModel).placeholder).toBe(created.placeholder);
  const deleted = await send("python", "DELETE", `/secret/${created.id}`);
  expect([deleted.status, deleted.text]).toEqual([204, ""]);
});

it("reads as the Python client does: a sandbox, 200 and all required fields", async () => {
  await send("python", "POST", "/secret", '{"name": "BOXED", "value": "v", "hosts": []}');
  const body =
    '{"language": "python", "env": {}, "labels": {}, "secrets": [{"A_KEY": "BOXED"}], "autoStopInterval": 15}';
  const sandbox = read(await send("python", "POST", "/sandbox", body), 200, sandboxModel);
  read(await send("python", "PUT", `/sandbox/${sandbox.id}/secrets`, '{"secrets": []}'), 200, sandboxModel);
  read(await send("python", "GET", `/sandbox/${sandbox.id}`), 200, sandboxModel);
  read(
    await send("python", "DELETE", `/sandbox/${sandbox.id}?force=false`),
    200,
    sandboxModel.extend({ state: z.string() }),
  );
});

it("takes numbers as the Go and Java clients write them", async () => {
  for (const limit of ["50", "50.0", "50.00"])
    read(await send("go", "GET", `/secret/paginated?limit=${limit}`), 200, pageModel);
});

it("takes a create without hosts as the Java client sends it, and keeps a restriction when it rotates a value", async () => {
  const open = read(
    await send("java", "POST", "/secret", '{"name":"JAVA_OPEN","value":"v","hosts":[]}'),
    201,
    secretModel,
  );
  expect(open.hosts).toEqual([]);
  const body = '{"name":"JAVA","value":"v","hosts":["a.example"]}';
  const { id } = read(await send("java", "POST", "/secret", body), 201, secretModel);
  const rotated = await send("java", "PATCH", `/secret/${id}`, '{"value":"w","hosts":[]}');
  expect(read(rotated, 200, secretModel).hosts).toEqual(["a.example"]);
  read(await send("java", "POST", "/sandbox", '{"secrets":[]}'), 200, sandboxModel);
});

it("gives errors that every client can read", async () => {
  const problem = z.object({
    statusCode: z.number(),
    message: z.string(),
    error: z.string(),
    path: z.string(),
    timestamp: rfc3339,
  });
  read(await send("python", "POST", "/secret", '{"name": "JAVA", "value": "v"}'), 409, problem);
  read(await send("go", "GET", "/secret/123e4567-e89b-12d3-a456-426614174000"), 404, problem);
  read(await send("java", "POST", "/secret", '{"name":"a b","value":"v"}'), 400, problem);
});
