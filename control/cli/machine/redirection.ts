/** Redirects the traffic of this machine to its proxy, and puts it back. */
import { show, turnOff, turnOn } from '../../../machine/capture/capture.ts';
import type { CaptureOptions } from '../../../machine/capture/capture-options.ts';
import { captureFindings, hasIpv6, mayChangeRules } from '../../../machine/capture/findings.ts';
import { userOf } from '../../../machine/capture/transparent-sockets.ts';
import { type Category, type Finding, failure, ok, warning } from '../../../machine/checks/finding.ts';
import { PROXY_USER } from '../../../machine/host/layout.ts';
import type { MachineRecord } from '../../../machine/join/record.ts';
import { CAPTURE_PORTS } from '../../../shared/join/capture-ports.ts';
import { coverageFindings } from './coverage.ts';

/** @throws Error in one line; nothing is redirected then */
export async function redirectHost(record: MachineRecord): Promise<void> {
  if (record.capture) turnOn(captureOf(record));
}

/** Harmless where nothing is redirected. */
export async function releaseHost(): Promise<void> {
  if (mayChangeRules()) turnOff();
}

/** All that applications send, and what arrives at the ports of the workload: SSH stays as it is. */
function captureOf({ ports, ipv6, dns }: MachineRecord): CaptureOptions {
  return {
    proxyUid: userOf(PROXY_USER).uid,
    outbound: {
      includeIPRanges: '*',
      excludeIPRanges: [],
      includePorts: [],
      excludePorts: [],
      excludeInterfaces: [],
      excludeUids: [],
      excludeGids: [],
      withoutProxy: 'shut',
    },
    inbound: { includePorts: [...new Set(Object.values(ports))], excludePorts: [] },
    dnsPort: dns ? CAPTURE_PORTS.dns : undefined,
    ipv6,
  };
}

/** Before a join: what prevents capture, or redirects traffic besides it. */
export function captureChecks(): Category {
  return { categoryName: 'capture', checks: findings('traffic can be redirected', captureFindings()) };
}

/** Of a joined machine. */
export async function redirectionFindings(record: MachineRecord): Promise<readonly Category[]> {
  if (!record.capture) return [];
  if (!mayChangeRules())
    return [
      {
        categoryName: 'capture',
        checks: [warning('traffic is redirected', 'only root can see it', 'run "sudo tulle check"')],
      },
    ];
  const { on, listening, findings: found } = show();
  const description = 'traffic is redirected to the proxy';
  const checks: Finding[] = [
    on ? ok(description) : failure(description, 'it is not', '"systemctl restart tulle-capture" redirects it again'),
    listening.outbound && listening.inbound
      ? ok('the sockets for redirected connections listen')
      : failure(
          'the sockets for redirected connections listen',
          'they do not',
          'systemctl restart tulle-proxy-outbound.socket tulle-proxy-inbound.socket tulle-proxy',
        ),
    ...coverageFindings(record, hasIpv6()),
    ...findings('nothing else redirects traffic', found),
  ];
  return [{ categoryName: 'capture', checks }];
}

function findings(
  description: string,
  found: readonly { severity: 'error' | 'warning'; message: string; remedy: string }[],
): Finding[] {
  if (found.length === 0) return [ok(description)];
  return found.map(({ severity, message, remedy }) =>
    (severity === 'error' ? failure : warning)(description, message, remedy),
  );
}
