/**
 * An upgraded connection is an object of the runtime, not bytes: it travels beside the head of the response that it came
 * with.
 */
import type { HeaderMap } from '../../http/message/header-map.ts';

const sockets = new WeakMap<HeaderMap, unknown>();

/** @param headers of the 101 */
export function keepWebSocket(headers: HeaderMap, response: Response): void {
  sockets.set(headers, (response as { webSocket?: unknown }).webSocket);
}

export function webSocketOf(headers: HeaderMap): unknown {
  return sockets.get(headers);
}
