// Parts of undici by their own files: see transport.ts. The package has no types for these paths.
declare module "undici/lib/dispatcher/client.js" {
  import { Client } from "undici";
  // biome-ignore lint/style/noDefaultExport: it is a CommonJS module
  export default Client;
}

declare module "undici/lib/dispatcher/pool.js" {
  import { Pool } from "undici";
  // biome-ignore lint/style/noDefaultExport: it is a CommonJS module
  export default Pool;
}

declare module "undici/lib/api/api-request.js" {
  import type { Dispatcher } from "undici";
  // biome-ignore lint/style/noDefaultExport: it is a CommonJS module
  export default function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>;
}
