// Connections that were redirected to us: nobody asked for a proxy, so nobody names a sandbox or a host. The source address
// (or the one fixed sandbox) says who, the ClientHello's name or each request's Host says where to. The address that was
// redirected counts for nothing: the name is resolved by us.

import type { Socket } from "node:net";
import type { ErrorCode } from "../core/errors.ts";
import { accessDeniedAlert } from "../core/wire/client-hello.ts";
import type { Connections } from "./connections.ts";
import { endWith, endWithAnswer } from "./farewell.ts";
import { HostRouting } from "./host-routing.ts";
import { identifySource } from "./identify.ts";
import { Opening } from "./opening.ts";
import type { Services } from "./services.ts";

/** Takes the socket over. `source` is the client's address, of which a load balancer may have told. */
export function takeRedirected(
  services: Services,
  connections: Connections,
  socket: Socket,
  way: "tls" | "http",
  source: string,
): void {
  void take(services, connections, socket, way, source).catch((error: unknown) => {
    services.logger.error(
      { err: error instanceof Error ? error.message : "unknown" },
      "a redirected connection failed",
    );
    socket.destroy();
  });
}

async function take(
  services: Services,
  connections: Connections,
  socket: Socket,
  way: "tls" | "http",
  source: string,
): Promise<void> {
  const caller = await identifySource(source, services);
  if (typeof caller === "string") {
    connections.recordRefusal(way, undefined, undefined, caller, source);
    refuse(socket, way, caller);
  } else if (!socket.destroyed) {
    services.newcomers.settle(socket);
    // On the TLS port the opening sees to it.
    if (way === "http" && !services.occupancy.takeFor(caller.sandboxId, socket)) {
      connections.recordRefusal(way, caller.sandboxId, undefined, "sandbox-overloaded", undefined);
      refuse(socket, way, "sandbox-overloaded");
    } else if (way === "http") new HostRouting(services, connections, socket, caller, way, undefined);
    else {
      const unnamed = { rest: undefined, authority: undefined, voice: undefined };
      new Opening(services, connections, { socket, caller, way, ...unnamed });
    }
  }
}

function refuse(socket: Socket, way: "tls" | "http", code: ErrorCode): void {
  if (way === "tls") endWith(socket, accessDeniedAlert);
  else endWithAnswer(socket, code);
}
