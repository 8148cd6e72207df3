/** Whether a host can be joined: rights, tools, free ports, and what redirects its traffic already. */
import { createServer } from 'node:net';
import type { Host } from '../host/host.ts';
import { type Category, type Finding, failure, ok, warning } from './finding.ts';

/** linux/capability.h: CAP_NET_ADMIN. */
const NET_ADMIN = 12n;

export interface HostChecks {
  /** Whether traffic is to be captured. */
  readonly capture: boolean;
  /** TCP ports that the proxy will listen on. */
  readonly ports: readonly number[];
}

export async function checkHost(host: Host, { capture, ports }: HostChecks): Promise<Category[]> {
  const rights = capture ? await captureRights(host) : [];
  return [
    { categoryName: 'rights', checks: [rightsFinding(host.uid), ...rights] },
    { categoryName: 'ports', checks: await Promise.all(ports.map((port) => portFinding(host, port))) },
    ...(capture ? [{ categoryName: 'redirection', checks: await redirectionFindings(host) }] : []),
  ];
}

function rightsFinding(uid: number): Finding {
  const description = 'the whole machine can be set up';
  if (uid === 0) return ok(description);
  return warning(
    description,
    'this is not root: the proxy serves one user, by http_proxy, without capture of traffic',
    'run the line with sudo to capture traffic',
  );
}

async function captureRights(host: Host): Promise<Finding[]> {
  const [nft, iptables, ip] = await Promise.all(['nft', 'iptables', 'ip'].map((name) => isThere(host, name)));
  const tools = 'nft or iptables is there';
  const status = (await host.read('/proc/self/status')) ?? '';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  const mayAdminister = effective === undefined || (BigInt(`0x${effective}`) & (1n << NET_ADMIN)) !== 0n;
  const admin = 'the network may be administered (CAP_NET_ADMIN)';
  return [
    nft || iptables
      ? ok(tools)
      : failure(tools, 'neither is', 'install nftables, as by "apt-get install nftables", or join with --no-capture'),
    ip ? ok('ip is there') : failure('ip is there', 'it is not', 'install iproute2, or join with --no-capture'),
    mayAdminister
      ? ok(admin)
      : failure(admin, 'it may not', 'start the container with --cap-add NET_ADMIN, or join with --no-capture'),
  ];
}

const isThere = async (host: Host, name: string): Promise<boolean> =>
  (await host.run(['sh', '-c', `command -v ${name}`])).code === 0;

async function portFinding(host: Host, port: number): Promise<Finding> {
  const description = `port ${port} is free`;
  if (await isFree(port)) return ok(description);
  const { out } = await host.run(['ss', '-Hltnp', `sport = :${port}`]);
  const user = /users:\(\("([^"]+)",pid=(\d+)/.exec(out);
  const found = user ? `${user[1]} (process ${user[2]}) listens on it` : 'another program listens on it';
  return failure(description, found, `stop that program: the proxy needs the port`);
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)));
  });
}

/** By the names that their makers give to chains. */
async function redirectionFindings(host: Host): Promise<Finding[]> {
  const listed = await Promise.all([
    host.run(['nft', 'list', 'ruleset']),
    host.run(['iptables-save']),
    host.run(['ip6tables-save']),
  ]);
  const rules = listed.map(({ out }) => out).join('\n');
  const istio = 'no rules of Istio redirect traffic';
  const docker = 'no rules of Docker redirect traffic';
  return [
    /\bISTIO_(OUTPUT|INBOUND|REDIRECT|TPROXY)\b/.test(rules)
      ? failure(istio, 'chains ISTIO_… are there', 'remove them with "istio-iptables --cleanup-only", or by a reboot')
      : ok(istio),
    /\bDOCKER\b/.test(rules)
      ? warning(
          docker,
          'chains DOCKER are there',
          'they stay as they are; published ports of containers are not captured',
        )
      : ok(docker),
  ];
}
