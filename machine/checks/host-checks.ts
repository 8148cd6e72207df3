/** Whether a host can be joined: rights, free ports, and whether its traffic can be captured. */
import { createServer } from 'node:net';
import type { Host } from '../host/host.ts';
import { type Category, type Finding, failure, ok, warning } from './finding.ts';

export interface HostChecks {
  /** What of the host concerns capture; undefined: traffic is not captured. */
  readonly capture: Category | undefined;
  /** TCP ports that the proxy will listen on. */
  readonly ports: readonly number[];
}

export async function checkHost(host: Host, { capture, ports }: HostChecks): Promise<Category[]> {
  return [
    { categoryName: 'rights', checks: [rightsFinding(host.uid)] },
    { categoryName: 'ports', checks: await Promise.all(ports.map((port) => portFinding(host, port))) },
    ...(capture ? [capture] : []),
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
