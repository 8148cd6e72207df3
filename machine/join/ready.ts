/** Waits for the proxy of this machine. */
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN_PORT } from '../service/proxy-flags.ts';
import { JoinError } from './control-plane.ts';

const POLL_MS = 50;
const ANSWER_LIMIT_MS = 5000;

/** The status of an answer; undefined: there was none. */
export const statusOf = async (port: number, path: string): Promise<number | undefined> =>
  (await answerOf(port, path))?.status;

/** An answer of a server on loopback; undefined: there was none. */
export function answerOf(
  port: number,
  path: string,
  { method = 'GET', limitMs = ANSWER_LIMIT_MS }: { readonly method?: string; readonly limitMs?: number } = {},
): Promise<{ status: number; text: string } | undefined> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path, method, agent: false, timeout: limitMs };
    const call = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.once('error', () => resolve(undefined));
    });
    call.once('timeout', () => call.destroy());
    call.once('error', () => resolve(undefined));
    call.end();
  });
}

/** Whether a server on loopback accepts connections. A request would depend on what the server asks others, as a name server. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect({ host: '127.0.0.1', port, timeout: ANSWER_LIMIT_MS });
    const finish = (listens: boolean) => {
      resolve(listens);
      connection.destroy();
    };
    connection.once('connect', () => finish(true)).once('timeout', () => finish(false));
    connection.once('error', () => finish(false));
  });
}

/**
 * Until the proxy has its config in force.
 * @param failed rejects where it cannot become ready any more
 * @throws JoinError after `limitMs`
 */
export async function waitUntilReady(limitMs: number, failed: Promise<never>): Promise<void> {
  const end = Date.now() + limitMs;
  // Awaited by the races below; it may fail between them.
  failed.catch(() => {});
  while ((await Promise.race([statusOf(ADMIN_PORT, '/ready'), failed])) !== 200) {
    if (Date.now() > end)
      throw new JoinError(
        `the proxy is not ready after ${limitMs / 1000} s; its log says why (journalctl -u tulle-proxy, or the lines above)`,
      );
    await Promise.race([sleep(POLL_MS), failed]);
  }
}
