/**
 * Joins of machines over HTTPS, each by a connection of its own with a whole TLS handshake, as machines do. Run alone:
 * `node control/cli/bin.mjs --script tests/bench/control/joins.ts [runtime] [joins]`.
 */
import https from 'node:https';
import { ControlApi } from '../../../control/cli/connection.ts';
import type { RuntimeName } from '../../../control/cli/runtimes.mjs';
import { createCsr } from '../../../shared/identity/csr.ts';
import { generateKeys } from '../../../shared/identity/keys.ts';
import { JoinAnswer } from '../../../shared/join/join-protocol.ts';
import { type ControlProcess, startControlProcess } from './control-process.ts';

export interface JoinsOptions {
  readonly runtime?: RuntimeName;
  readonly joins?: number;
  /** Under way at a time. */
  readonly together?: number;
}

export interface JoinFigures {
  readonly joins: number;
  /** Of the control plane's process, user and system. */
  readonly cpuMsPerJoin: number;
  /** The clients on the same machine take their part of it. */
  readonly joinsPerSecond: number;
  readonly joinsPerCpuSecond: number;
}

/** Loopback addresses that joins come from: the control plane limits how often one source may join. */
const SOURCES = 32;
const WARM_UP = 100;
const NAMESPACE = 'default';
const GROUP = 'reviews';

export async function measureJoins({ runtime = 'node', joins = 1000, together = 8 }: JoinsOptions = {}) {
  const requests = await Promise.all(
    Array.from({ length: joins + WARM_UP }, async () => createCsr(await generateKeys(), ID)),
  );
  const control = await startControlProcess(runtime);
  try {
    const token = await invitation(control, requests.length);
    const joinAll = async (csrs: readonly string[]) => {
      let next = 0;
      const client = async () => {
        for (let at = next++; at < csrs.length; at = next++) await join(control, token, csrs[at]!, at);
      };
      await Promise.all(Array.from({ length: together }, client));
    };
    await joinAll(requests.slice(0, WARM_UP));
    const cpuBefore = control.cpuSeconds();
    const began = performance.now();
    await joinAll(requests.slice(WARM_UP));
    const seconds = (performance.now() - began) / 1000;
    const cpu = control.cpuSeconds() - cpuBefore;
    return {
      joins,
      cpuMsPerJoin: (cpu / joins) * 1000,
      joinsPerSecond: joins / seconds,
      joinsPerCpuSecond: joins / cpu,
    } satisfies JoinFigures;
  } finally {
    await control.stop();
  }
}

const ID = `spiffe://cluster.local/ns/${NAMESPACE}/sa/${GROUP}`;

/** @returns the token of an invitation that may be used so often */
async function invitation({ url, token, ca }: ControlProcess, uses: number): Promise<string> {
  const api = new ControlApi(url.href, token, ca);
  await api.call('POST', `/apis/networking.istio.io/v1/namespaces/${NAMESPACE}/workloadgroups`, {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadGroup',
    metadata: { name: GROUP, namespace: NAMESPACE },
    spec: { template: { serviceAccount: GROUP, labels: { app: GROUP }, ports: { http: 9080 } } },
  });
  const made = await api.call<{ token: string }>('POST', '/v1/invitations', {
    namespace: NAMESPACE,
    group: GROUP,
    uses,
  });
  return made.token;
}

/** @throws Error with the answer where the machine is refused */
function join({ url, ca }: ControlProcess, token: string, csr: string, at: number): Promise<void> {
  const body = JSON.stringify({ csr, evidence: { kind: 'token', token } });
  return new Promise((resolve, reject) => {
    const request = https.request(new URL('/v1/join', url), {
      method: 'POST',
      ca,
      agent: false,
      localAddress: `127.0.1.${1 + (at % SOURCES)}`,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    });
    request.on('error', reject);
    request.on('response', async (response) => {
      try {
        let text = '';
        for await (const part of response.setEncoding('utf8')) text += part;
        if (response.statusCode !== 200) throw new Error(`join ${at}: ${response.statusCode} ${text}`);
        JoinAnswer.parse(JSON.parse(text));
        resolve();
      } catch (error) {
        reject(error as Error);
      }
    });
    request.end(body);
  });
}

if (import.meta.main) {
  const runtime = (process.argv[2] ?? 'node') as RuntimeName;
  const joins = Number(process.argv[3] ?? 1000);
  console.log(JSON.stringify({ runtime, ...(await measureJoins({ runtime, joins })) }, null, 2));
}
