/** Redirects the traffic of this machine to its proxy, and puts it back. */
import { connect } from 'node:net';
import { join } from 'node:path';
import { captureOptionsOf } from '../../../machine/capture/annotations.ts';
import { show, turnOff, turnOn } from '../../../machine/capture/capture.ts';
import { type CaptureOptions, defaultCapture } from '../../../machine/capture/capture-options.ts';
import { captureFindings, hasIpv6, mayChangeRules } from '../../../machine/capture/findings.ts';
import { userOf } from '../../../machine/capture/transparent-sockets.ts';
import { type Category, type Finding, failure, ok, warning } from '../../../machine/checks/finding.ts';
import { putBack, resolverFindings, setUp } from '../../../machine/dns/resolver.ts';
import { hostLayout, PROXY_USER } from '../../../machine/host/layout.ts';
import type { MachineRecord } from '../../../machine/join/record.ts';
import { DOMAIN_SUFFIX } from '../../../machine/service/proxy-flags.ts';
import { CAPTURE_PORTS } from '../../../shared/join/capture-ports.ts';
import { coverageFindings } from './coverage.ts';

/** What was changed of the resolver; root alone writes there. */
const RESOLVER = { stateFile: join(hostLayout(0, {}).config, 'resolver.json') };

/** @throws Error in one line; nothing is redirected then */
export async function redirectHost(record: MachineRecord): Promise<void> {
  if (!record.capture) return;
  turnOn(captureOf(record));
  if (!record.dns) return;
  try {
    setUp({ ...RESOLVER, ...DNS_SERVER, searchDomains: searchDomains(record.namespace), captured: true });
  } catch (error) {
    turnOff();
    throw error;
  }
}

/** Harmless where nothing is redirected. */
export async function releaseHost(): Promise<void> {
  if (!mayChangeRules()) return;
  try {
    putBack(RESOLVER);
  } finally {
    turnOff();
  }
}

const DNS_SERVER = { address: '127.0.0.1', port: CAPTURE_PORTS.dns };

/** With which systemd-resolved completes short names, as the DNS of Kubernetes has it. */
const searchDomains = (namespace: string): string[] =>
  [`${namespace}.svc.`, 'svc.', ''].map((part) => part + DOMAIN_SUFFIX);

/**
 * All that applications send, and what arrives at the ports of the workload, unless annotations of the group say otherwise: SSH
 * stays as it is.
 * @throws CaptureError naming the annotation
 */
function captureOf({ ports, ipv6, dns, annotations = {} }: MachineRecord): CaptureOptions {
  return captureOptionsOf(annotations, {
    ...defaultCapture(userOf(PROXY_USER).uid),
    inbound: { includePorts: [...new Set(Object.values(ports))], excludePorts: [] },
    dnsPort: dns ? CAPTURE_PORTS.dns : undefined,
    ipv6,
  });
}

/** Before a join: what prevents capture, or redirects traffic besides it. */
export function captureChecks(): Category {
  return { categoryName: 'capture', checks: findings('traffic can be redirected', captureFindings()) };
}

/** Of a joined machine. */
export async function redirectionFindings(record: MachineRecord): Promise<readonly Category[]> {
  const { capture, dns } = record;
  if (!capture) return [];
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
  const names = dns ? [{ categoryName: 'names', checks: await nameFindings() }] : [];
  return [{ categoryName: 'capture', checks }, ...names];
}

async function nameFindings(): Promise<Finding[]> {
  const { address, port } = DNS_SERVER;
  const description = `the proxy's DNS server listens on ${address}:${port}`;
  const answers = (await accepts(address, port))
    ? ok(description)
    : failure(description, 'it does not', 'the log of the proxy says why (journalctl -u tulle-proxy)');
  return [answers, ...findings("the machine's resolver leads to it", resolverFindings(RESOLVER))];
}

/** By TCP: what it is asked, it may have to forward to servers that do not answer. */
function accepts(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port, timeout: 2000 });
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('timeout', () => resolve(false));
  }).finally(() => socket.destroy());
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
