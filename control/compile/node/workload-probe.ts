/** `probe` of a WorkloadGroup -> what its proxies ask their workload (Istio's agent: pkg/istio-agent/health). */
import { isIpAddress } from '../../../shared/match/cidr.ts';
import type { Probe } from '../../../shared/resources/schema/workload-group.ts';
import type { WorkloadProbe } from '../../../shared/xds/proxy-config.ts';

const LOCAL = '127.0.0.1';

/** Kubernetes' defaults; 0 is one, too. @returns undefined: nothing is asked, or what proxies cannot ask (see effects) */
export function workloadProbe(probe: Probe | undefined): WorkloadProbe | undefined {
  const question = probe && questionOf(probe);
  if (!question) return undefined;
  return {
    ...question,
    initialDelaySeconds: probe.initialDelaySeconds ?? 0,
    periodSeconds: probe.periodSeconds || 10,
    timeoutSeconds: probe.timeoutSeconds || 1,
    successThreshold: probe.successThreshold || 1,
    failureThreshold: probe.failureThreshold || 3,
  };
}

type Question = Pick<WorkloadProbe, 'http' | 'tcp' | 'grpc' | 'exec'>;

function questionOf({ httpGet, tcpSocket, grpc, exec }: Probe): Question | undefined {
  if (httpGet) {
    const { port, path, host, scheme, httpHeaders = [] } = httpGet;
    const address = addressOf(host);
    if (!address) return undefined;
    const given = httpHeaders.map(({ name = '', value = '' }): [string, string] => [name, value]);
    const named = given.find(([name]) => name.toLowerCase() === 'host')?.[1];
    const headers = given.filter(([name]) => name.toLowerCase() !== 'host');
    const at = path ? (path.startsWith('/') ? path : `/${path}`) : '/';
    const tls = scheme === 'HTTPS' && { tls: true };
    return { http: { address, port, path: at, host: named ?? address, headers, ...tls } };
  }
  if (tcpSocket) {
    const address = addressOf(tcpSocket.host);
    return address ? { tcp: { address, port: tcpSocket.port } } : undefined;
  }
  const [program, ...args] = exec?.command ?? [];
  if (program) return { exec: { command: [program, ...args] } };
  return grpc?.port ? { grpc: { address: LOCAL, port: grpc.port, service: grpc.service ?? '' } } : undefined;
}

/** Names are not looked up: undefined. */
function addressOf(host: string | undefined): string | undefined {
  if (!host || host === 'localhost') return LOCAL;
  return isIpAddress(host) ? host : undefined;
}
