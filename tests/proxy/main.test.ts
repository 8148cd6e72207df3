/** The proxy's program: its flags, its admin endpoints, and how it ends. */
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { proxyCommand } from '../../control/cli/runtimes.mjs';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { run } from '../kit/process.ts';
import { ProxyProcess } from '../kit/proxy.ts';

const folder = temporaryFolder();
afterAll(() => folder.dispose());
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
    const proxy = new ProxyProcess(runtime, join(folder.path, 'serves.json'), bootstrap);
    await proxy.ready();
    expect(await (await fetch(`http://127.0.0.1:${proxy.ports['l']}/`)).text()).toBe('hi');
    expect((await proxy.admin('/ready')).status).toBe(200);
    const { body } = await proxy.admin('/metrics');
    expect(body).toMatch(/istio_requests_total\{.*response_code="200".*\} 1\n/);
    expect(await proxy.stop()).toBe(0);
  });

  it('closes idle kept connections when it drains, and ends without waiting for them', async () => {
    const sockets: net.Socket[] = [];
    const file = join(folder.path, 'drains.json');
    const proxy = new ProxyProcess(runtime, file, bootstrap, ['--drain-seconds', '3600']);
    await proxy.ready();
    try {
      const open = async (port: number, text: string) => {
        const socket = net.connect(port, '127.0.0.1');
        sockets.push(socket);
        await once(socket, 'connect');
        socket.write(text);
        if (text !== '') await once(socket, 'data');
        return { closed: once(socket.resume(), 'close') };
      };
      const request = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';
      const [fresh, used] = [await open(proxy.ports['l']!, ''), await open(proxy.ports['l']!, request)];
      await open(proxy.adminPort, '');
      expect((await proxy.admin('/drain_listeners', 'POST')).status).toBe(200);
      await Promise.all([fresh.closed, used.closed]);
      expect(await proxy.stop()).toBe(0);
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  it('prints a line per violation and exits 1', async () => {
    const [program, ...args] = proxyCommand(runtime);
    const { code, out, error } = await run(program!, [...args, '--control-plane', 'http://x', '--what']);
    expect(code).toBe(1);
    expect(out + error).toContain('--what: unknown argument');
    expect(out + error).toContain('--control-plane: must be https://');
    expect(out + error).not.toContain('    at ');
  });
});
