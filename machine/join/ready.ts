/** Waits for the proxy of this machine, and asks it for one request. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ADMIN_PORT, HTTP_PROXY_PORT } from '../service/proxy-flags.ts';
import { JoinError } from './control-plane.ts';

const POLL_MS = 50;
const ANSWER_LIMIT_MS = 5000;

/** The status of an answer; undefined: there was none. */
export function statusOf(port: number, path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port, path, agent: false, timeout: ANSWER_LIMIT_MS };
    const call = request(options, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode));
      response.once('error', () => resolve(undefined));
    });
    call.once('timeout', () => call.destroy());
    call.once('error', () => resolve(undefined));
    call.end();
  });
}

/**
 * Until the proxy has its config in force.
 * @param failed rejects where it cannot become ready any more
 * @throws JoinError after `limitMs`
 */
export async function waitUntilReady(limitMs: number, failed: Promise<never>): Promise<void> {
  const end = Date.now() + limitMs;
  failed.catch(() => {});
  while ((await Promise.race([statusOf(ADMIN_PORT, '/ready'), failed])) !== 200) {
    if (Date.now() > end)
      throw new JoinError(
        `the proxy is not ready after ${limitMs / 1000} s; its log says why (journalctl -u tulle-proxy, or the lines above)`,
      );
    await Promise.race([sleep(POLL_MS), failed]);
  }
}

/**
 * One request through the proxy's listener for HTTP proxy requests: that it answers, whatever it answers, shows that traffic
 * runs through it. @returns the status
 * @throws JoinError
 */
export async function requestThroughProxy(url: string): Promise<number> {
  const status = await statusOf(HTTP_PROXY_PORT, url);
  if (status !== undefined) return status;
  throw new JoinError(`the proxy does not answer on port ${HTTP_PROXY_PORT}; "tulle check" shows what is wrong`);
}
