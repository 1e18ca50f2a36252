// Reads an API's stream of changes with the parser that proxies use.

import { createParser } from "eventsource-parser";

export interface ChangeMessage {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: {
    readonly version: string;
    readonly sandboxes?: readonly string[];
    readonly sources?: boolean;
    readonly placeholder?: string;
  };
}

export interface Follower {
  readonly status: number;
  readonly messages: readonly ChangeMessage[];
  /** Resolves when the stream has ended, however. */
  readonly ended: Promise<void>;
  close(): void;
}

export async function followChanges(
  url: string,
  key: string,
  options: { since?: string; lastEventId?: string; prefer?: string; onMessage?: (message: ChangeMessage) => void } = {},
): Promise<Follower> {
  const abort = new AbortController();
  const query = options.since === undefined ? "" : `?since=${options.since}`;
  const response = await fetch(`${url}/changes${query}`, {
    signal: abort.signal,
    headers: {
      authorization: `Bearer ${key}`,
      ...(options.prefer === undefined ? {} : { prefer: options.prefer }),
      ...(options.lastEventId === undefined ? {} : { "last-event-id": options.lastEventId }),
    },
  });
  const messages: ChangeMessage[] = [];
  const parser = createParser({
    onEvent: (event) => {
      const message = { event: event.event ?? "", id: event.id, data: JSON.parse(event.data) };
      messages.push(message);
      options.onMessage?.(message);
    },
  });
  const decoder = new TextDecoder();
  const read = async () => {
    try {
      for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
    } catch {
      // Closed by us, or cut: both are an end.
    }
  };
  return { status: response.status, messages, ended: read(), close: () => abort.abort() };
}
