/** Runs a case against a proxy and reduces what came back to what two proxies must agree on. */

import type { RunningProxy } from '../../kit/proxy.ts';
import type { Case } from '../shared-file/cases.ts';
import type { Shadows } from './echo.ts';
import { exchange } from './raw-client.ts';

const UNREAD = new Set([400, 426, 431, 501]);
/** Values are tokens in any case. */
const TOKENS = new Set(['connection', 'upgrade']);
const UNCOMPARED = new Set(['date', 'x-envoy-upstream-service-time']);

export interface Outcome {
  readonly responses: readonly { status: number; headers: readonly string[]; body: unknown }[];
  readonly end: string;
  /** The access log's code, flags, details … of the request; undefined where it has no X-Case to find it by. */
  readonly log: unknown;
  /** What the upstream of mirrors was sent. */
  readonly mirrored?: unknown;
}

/** @throws when no whole answer comes, or the access log stays silent */
export async function outcomeOf(proxy: RunningProxy, given: Case, shadows?: Shadows): Promise<Outcome> {
  const port = proxy.ports[given.listener];
  if (port === undefined) throw new Error(`${proxy.name} has no listener "${given.listener}"`);
  const { responses, end } = await exchange(port, given.bytes, given.methods, given.halfCloses);
  return {
    responses: responses.map((one) => ({
      status: one.status,
      headers: one.headers
        .filter(([key]) => !UNCOMPARED.has(key))
        .map(([key, value]) => `${key}: ${alike(TOKENS.has(key) ? value.toLowerCase() : value, given.bytes)}`),
      // Some headers hold the listener's port.
      body: readable(alike(one.body, given.bytes).replaceAll(`"${port}"`, '"PORT"')),
    })),
    end,
    // A head that the parser refuses has no X-Case in the log to be found by.
    log: responses.some(({ status }) => UNREAD.has(status)) ? undefined : await logged(proxy, given),
    ...(given.mirrored !== undefined && {
      mirrored: readable(ownAddress(alike(JSON.stringify(await shadows!.take(given.id, given.mirrored)), given.bytes))),
    }),
  };
}

/** Random ids differ from one proxy to the other; their mark (why a request is traced), and ids that were given, do not. */
export function alike(text: string, bytes: string): string {
  return text.replace(
    /\b([0-9a-f]{8})-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b/g,
    (id, start, mark) => (bytes.includes(start) ? id : `id-${mark}`),
  );
}

/** The last of a mirrored request's x-forwarded-for is the proxy's: Envoy writes the machine's, not the listener's. */
function ownAddress(text: string): string {
  return text.replace(/("x-forwarded-for","(?:[^"]*,)?)[^",]+"/g, '$1OWN"');
}

function readable(body: string): unknown {
  try {
    // Envoy counts down what is left of the timeout on retries; how much depends on the machine.
    return JSON.parse(
      body.replace(/"x-envoy-expected-rq-timeout-ms","14\d{3}"/, '"x-envoy-expected-rq-timeout-ms","15000"'),
    );
  } catch {
    return body;
  }
}

async function logged(proxy: RunningProxy, given: Case): Promise<unknown> {
  // A head that is refused has no headers in the log.
  if (given.unlogged || !given.bytes.includes(`X-Case: ${given.id}\r\n`)) return undefined;
  const last = given.manyLogs ? `"case":"${given.id}/all"` : `"case":"${given.id}"`;
  const line = await proxy
    .line((text) => (text.startsWith('{') && text.includes(last) ? text : undefined), 20_000)
    .catch(() => undefined);
  if (line === undefined) return 'not logged';
  if (given.manyLogs) {
    const lines = proxy.lines.filter((text) => text.includes(`"case":"${given.id}/`));
    return lines.map((text) => Object.entries(JSON.parse(text) as Record<string, unknown>).sort());
  }
  return Object.fromEntries(Object.entries(JSON.parse(line) as Record<string, unknown>).sort());
}
