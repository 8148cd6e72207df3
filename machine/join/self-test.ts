/** One request through the proxy of a joined machine. */
import { ADMIN_PORT, HTTP_PROXY_PORT } from '../service/proxy-flags.ts';
import { JoinError, reach } from './control-plane.ts';
import { answerOf, statusOf } from './ready.ts';
import type { MachineRecord } from './record.ts';

/**
 * Where traffic is captured, a call of the control plane that must be seen by the proxy; else a request to the proxy's
 * listener for HTTP proxy requests, which shows by any answer that it is served.
 * @param url a control plane
 * @returns one line on what was seen
 * @throws JoinError
 */
export async function selfTest({ capture, rootHash, annotations }: MachineRecord, url: string): Promise<string> {
  if (!capture) {
    const target = `${url.replace('https:', 'http:')}/`;
    const status = await statusOf(HTTP_PROXY_PORT, target);
    if (status !== undefined) return `a request through the proxy was answered (${target}: ${status})`;
    throw new JoinError(`the proxy does not answer on port ${HTTP_PROXY_PORT}; "tulle check" shows what is wrong`);
  }
  const before = await capturedConnections();
  // Policies may forbid the call itself: what counts is that it came to the proxy.
  const answered = await reach(url, rootHash).then(
    () => 'answered',
    () => 'refused by a policy, or not answered',
  );
  if ((await capturedConnections()) > before)
    return `a call of this machine went through the proxy (${url}: ${answered})`;
  if (Object.keys(annotations ?? {}).some((name) => name.includes('Outbound')))
    return `the proxy is ready; calls of ${url} are not captured, as the annotations of the WorkloadGroup say`;
  throw new JoinError(
    `a call of this machine did not go through the proxy: something else redirects it; "tulle capture show" lists the rules`,
  );
}

/** Connections that came to the proxy's outbound listener. */
async function capturedConnections(): Promise<number> {
  const answer = await answerOf(ADMIN_PORT, '/stats?filter=downstream_cx_total');
  const counts = answer?.text.matchAll(/^listener\.\S*15001\S*\.downstream_cx_total: (\d+)$/gm) ?? [];
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
}
