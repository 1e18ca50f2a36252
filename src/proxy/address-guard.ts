// Which addresses may be dialled: none inside, unless the operator says so, and never keyswap itself.

import { networkInterfaces } from "node:os";
import { type CidrSet, classifyIp, formatIp, type IpAddress, parseIp } from "../core/authority/ip.ts";
import { KeyswapError } from "../core/errors.ts";

/** An address and port that keyswap listens on; `0.0.0.0` and `::` stand for every address of this machine. */
export interface OwnListener {
  readonly address: string;
  readonly port: number;
}

export interface AddressGuardOptions {
  /** Internal addresses that may be dialled all the same. */
  readonly allowPrivate: CidrSet;
  /** Asked anew each time: listeners come and go. The Secret API's and the admin's belong in it too. */
  readonly ownListeners: () => readonly OwnListener[];
}

export class AddressGuard {
  readonly #allowPrivate: CidrSet;
  readonly #ownListeners: () => readonly OwnListener[];

  constructor(options: AddressGuardOptions) {
    this.#allowPrivate = options.allowPrivate;
    this.#ownListeners = options.ownListeners;
  }

  /**
   * Those addresses that may be dialled, in their order. Throws address-own or address-private where none is left;
   * `name` is what the caller asked for.
   */
  admit(name: string, addresses: readonly IpAddress[], port: number): readonly IpAddress[] {
    let refusal: KeyswapError | undefined;
    const admitted = addresses.filter((ip) => {
      if (this.#isOwn(ip, port)) {
        refusal = new KeyswapError("address-own", `${name}, port ${port}`);
        return false;
      }
      const kind = classifyIp(ip);
      if (kind === "public" || this.#allowPrivate.has(ip)) return true;
      refusal ??= new KeyswapError("address-private", `${name}: ${kind}`);
      return false;
    });
    if (admitted.length > 0) return admitted;
    throw refusal ?? new KeyswapError("dns-failed", `${name}: no address`);
  }

  /** Throws address-own where one of them is keyswap itself. For addresses that the operator named, private or not. */
  refuseOwn(name: string, addresses: readonly IpAddress[], port: number): void {
    if (addresses.some((ip) => this.#isOwn(ip, port))) throw new KeyswapError("address-own", `${name}, port ${port}`);
  }

  #isOwn(ip: IpAddress, port: number): boolean {
    let local: boolean | undefined;
    for (const listener of this.#ownListeners()) {
      if (listener.port !== port) continue;
      // Systems take "unspecified" as a destination for themselves.
      if (classifyIp(ip) === "unspecified") return true;
      const bound = parseIp(listener.address);
      // What cannot be read is taken for every address: in doubt refuse.
      if (bound === undefined || bound.value === 0n) {
        local ??= isLocal(ip);
        if (local) return true;
      } else if (bound.family === ip.family && bound.value === ip.value) return true;
    }
    return false;
  }
}

/** All of 127.0.0.0/8 is this machine, and so is every address of its interfaces. */
function isLocal(ip: IpAddress): boolean {
  if (classifyIp(ip) === "loopback") return true;
  const text = formatIp(ip);
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const own = parseIp(address);
      if (own !== undefined && formatIp(own) === text) return true;
    }
  }
  return false;
}
