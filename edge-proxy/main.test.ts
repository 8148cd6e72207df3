import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { type RuntimeName, runtimeCommand } from '../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES, temporaryFolder } from '../tests/kit/environment.ts';

/** The proxy as a child process; `output` is both streams. */
function start(runtime: RuntimeName, args: string[]) {
  const [command, ...rest] = runtimeCommand(runtime, join(ROOT, 'edge-proxy/main.ts'));
  const process = spawn(command!, [...rest, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = once(process, 'close').then(([code]) => code as number | null);
  const child = { process, exit, output: '' };
  for (const stream of [process.stdout, process.stderr]) stream.on('data', (bytes) => (child.output += bytes));
  return child;
}

const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.extensions.${name}` });
const manager = {
  ...type('filters.network.http_connection_manager.v3.HttpConnectionManager'),
  stat_prefix: 'x',
  route_config: {
    virtual_hosts: [
      {
        name: 'all',
        domains: ['*'],
        routes: [{ match: { prefix: '/' }, direct_response: { status: 200, body: { inline_string: 'hi' } } }],
      },
    ],
  },
  http_filters: [{ name: 'router', typed_config: type('filters.http.router.v3.Router') }],
};
const address = { socket_address: { address: '127.0.0.1', port_value: 0 } };
const bootstrap = {
  node: { id: 'n', cluster: 'c' },
  admin: { address },
  static_resources: {
    listeners: [{ name: 'l', address, filter_chains: [{ filters: [{ name: 'hcm', typed_config: manager }] }] }],
  },
};

describe.each(RUNTIMES)('the proxy process on %s', (runtime) => {
  it('serves a static file, is measured, and drains on SIGTERM', async () => {
    const folder = temporaryFolder();
    const file = join(folder.path, 'b.json');
    writeFileSync(file, JSON.stringify(bootstrap));
    const child = start(runtime, ['-c', file, '--announce']);
    try {
      const line = await vi.waitFor(() => /^\{"ready".*$/m.exec(child.output)![0], { timeout: 30_000 });
      const { ports, adminPort } = JSON.parse(line) as { ports: { l: number }; adminPort: number };
      expect(await (await fetch(`http://127.0.0.1:${ports.l}/`)).text()).toBe('hi');
      const admin = (path: string) => fetch(`http://127.0.0.1:${adminPort}${path}`);
      expect((await admin('/ready')).status).toBe(200);
      expect(await (await admin('/metrics')).text()).toMatch(/istio_requests_total\{.*response_code="200".*\} 1\n/);
      child.process.kill('SIGTERM');
      expect(await child.exit).toBe(0);
    } finally {
      child.process.kill('SIGKILL');
      folder.dispose();
    }
  });

  it('closes idle kept connections when it drains, and ends without waiting for them', async () => {
    const folder = temporaryFolder();
    const file = join(folder.path, 'b.json');
    writeFileSync(file, JSON.stringify(bootstrap));
    const child = start(runtime, ['-c', file, '--announce', '--drain-seconds', '3600']);
    const sockets: net.Socket[] = [];
    try {
      const line = await vi.waitFor(() => /^\{"ready".*$/m.exec(child.output)![0], { timeout: 30_000 });
      const { ports, adminPort } = JSON.parse(line) as { ports: { l: number }; adminPort: number };
      const open = async (port: number, text: string) => {
        const socket = net.connect(port, '127.0.0.1');
        sockets.push(socket);
        await once(socket, 'connect');
        socket.write(text);
        if (text !== '') await once(socket, 'data');
        return { closed: once(socket.resume(), 'close') };
      };
      const request = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
      const [fresh, used] = [await open(ports.l, ''), await open(ports.l, request)];
      await open(adminPort, '');
      expect((await fetch(`http://127.0.0.1:${adminPort}/drain_listeners`, { method: 'POST' })).status).toBe(200);
      await Promise.all([fresh.closed, used.closed]);
      child.process.kill('SIGTERM');
      expect(await child.exit).toBe(0);
    } finally {
      for (const socket of sockets) socket.destroy();
      child.process.kill('SIGKILL');
      folder.dispose();
    }
  });

  it('prints a line per violation and exits 1', async () => {
    const child = start(runtime, ['--control-plane', 'http://x', '--what']);
    expect(await child.exit).toBe(1);
    expect(child.output).toContain('--what: unknown argument');
    expect(child.output).toContain('--control-plane: must be https://');
    expect(child.output).not.toContain('    at ');
  });
});
