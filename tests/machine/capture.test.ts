/** Capture on hosts of their own: what is redirected, what is not, and that nothing of it remains. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaptureState } from '../../machine/capture/capture.ts';
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { ROOT, RUNTIMES } from '../kit/environment.ts';
import { HOSTS } from '../kit/hosts.ts';
import { works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import {
  CapturedNetwork,
  CLI,
  type Driver,
  NOWHERE,
  NOWHERE6,
  type Options,
  optionsOf,
  PORT,
  show,
  stateOf,
  UID,
} from './captured-network.ts';
import type { ConnectOptions } from './host-driver.ts';

describe.skipIf(!HOSTS || !works('nft'))('capture', () => {
  let net: CapturedNetwork;
  let other: Driver;

  beforeAll(async () => {
    net = new CapturedNetwork();
    other = net.other;
    await net.listen();
  });

  afterAll(() => net?.close());

  describe.each(RUNTIMES)('on %s', (runtime) => {
    it('captures both directions and both families, keeps the destination, and leaves nothing behind', async () => {
      const machine = net.machine(runtime);
      const { address, address6 } = machine.host;
      const before = stateOf(machine.host);
      await machine.on();
      const rules = show(machine.host, 'nft', '-s', 'list', 'ruleset');
      expect(rules).toContain('table inet tulle');
      await machine.on();
      expect(show(machine.host, 'nft', '-s', 'list', 'ruleset'), 'a second run changes nothing').toBe(rules);
      await net.proxy(machine.host, runtime, runtime === 'node' ? 'python3' : runtime);

      const outbound = await machine.ask('connect', NOWHERE, 80);
      expect(outbound).toEqual({ socket: 'outbound', local: `${NOWHERE} 80`, remote: address });
      const outbound6 = await machine.ask('connect', NOWHERE6, 443);
      expect(outbound6).toEqual({ socket: 'outbound6', local: `${NOWHERE6} 443`, remote: address6 });
      const inbound = await other.ask('connect', address, PORT);
      expect(inbound).toEqual({ socket: 'inbound', local: `${address} ${PORT}`, remote: other.host.address });
      const inbound6 = await other.ask('connect', address6, PORT);
      expect(inbound6).toEqual({ socket: 'inbound6', local: `${address6} ${PORT}`, remote: other.host.address6 });

      for (const port of [CAPTURE_PORTS.outbound, CAPTURE_PORTS.inbound])
        for (const to of [address, address6]) {
          expect(await other.connect(to, port), `${to} ${port}`).toBe('ECONNREFUSED');
          expect(await machine.connect(to, port), `${to} ${port} of itself`).toBe('ECONNREFUSED');
        }
      expect(await machine.connect('127.0.0.1', CAPTURE_PORTS.outbound)).toBe('ECONNREFUSED');

      const state = await machine.ask<CaptureState>('show');
      expect(state).toMatchObject({
        on: true,
        backEnd: 'nft',
        listening: { outbound: true, inbound: true },
        counters: { outbound_connections: 2, inbound_connections: 2, without_proxy_connections: 0 },
        findings: [],
      });
      expect(await machine.ask('turnOff')).toBe(true);
      expect(stateOf(machine.host)).toBe(before);
      expect(await machine.ask('turnOff')).toBe(false);
    });
  });

  describe('of one machine', () => {
    let machine: Driver;

    beforeAll(async () => {
      machine = net.machine();
      await net.proxy(machine.host, 'node', 'perl');
      for (const port of [22, PORT, 9000]) await machine.ask('listen', port, '::');
    });

    it.each<[string, Options, ConnectOptions]>([
      ['the proxy', {}, { uid: UID }],
      ['a user', { outbound: { excludeUids: [4321] } }, { uid: 4321 }],
      ['a group', { outbound: { excludeGids: [4321] } }, { gid: 4321 }],
      ['a port', { outbound: { excludePorts: [25, PORT] } }, {}],
      ['a range', { outbound: { excludeIPRanges: ['10.0.0.0/8', '10.1.0.0/16', 'fc00::/7'] } }, {}],
      ['all but a range', { outbound: { includeIPRanges: ['203.0.113.0/24', '2001:db8::/32'] } }, {}],
      ['all but a port', { outbound: { includeIPRanges: [], includePorts: [80] } }, {}],
      ['interfaces', { outbound: { excludeInterfaces: ['docker0', 't*'] } }, {}],
    ])('exempts %s', async (name, options, from) => {
      await machine.on(options);
      const { address, address6 } = other.host;
      expect(await machine.connect(address, PORT, from)).toBe('direct');
      expect(await machine.connect(address6, PORT, from)).toBe('direct');
      if (name === 'interfaces') return expect(await other.connect(machine.host.address, PORT)).toBe('direct');
      expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
      expect(await machine.connect(NOWHERE6, 80)).toBe('outbound6');
    });

    it('captures workload ports alone, and never SSH', async () => {
      const from = async (port: number) => [
        await other.connect(machine.host.address, port),
        await other.connect(machine.host.address6, port),
      ];
      await machine.on();
      expect([...(await from(PORT)), ...(await from(9000)), ...(await from(22))]).toEqual([
        ...['inbound', 'inbound6', 'direct', 'direct', 'direct', 'direct'],
      ]);
      await machine.on({ inbound: { includePorts: '*', excludePorts: [9000] } });
      expect([...(await from(7777)), ...(await from(9000)), ...(await from(22))]).toEqual([
        ...['inbound', 'inbound6', 'direct', 'direct', 'direct', 'direct'],
      ]);
      await expect(machine.on({ inbound: { includePorts: [22] } })).rejects.toThrow('22 is SSH');
      await expect(machine.on({ inbound: { includePorts: [15006] } })).rejects.toThrow('15006 belongs to the mesh');
    });

    it('leaves IPv6 alone where only IPv4 is captured', async () => {
      await machine.on({ ipv6: false });
      expect(await machine.connect(other.host.address, PORT)).toBe('outbound');
      expect(await machine.connect(other.host.address6, PORT)).toBe('direct');
      expect(await other.connect(machine.host.address6, PORT)).toBe('direct');
      expect(show(machine.host, 'ip', '-6', 'rule')).not.toContain('15001');
    });

    it.each(['bun', 'deno', 'python3', 'perl'])('%s names the socket that it cannot make', (maker) => {
      const exec = ['capture', 'exec', '--with', maker, '--user', String(UID), '--', 'true'];
      expect(show(machine.host, ...CLI, ...exec)).toMatch(/^tulle: capture exec: outbound .*in use\n$/);
    });

    it("sends the proxy's calls to its own workload to its inbound listener, and not what it hands over", async () => {
      await machine.on();
      const { address, address6 } = machine.host;
      expect(await machine.connect(address, PORT, { uid: UID })).toBe('inbound');
      expect(await machine.connect(address6, PORT, { uid: UID })).toBe('inbound6');
      for (const [to, localAddress] of [
        [address, '127.0.0.6'],
        [address6, '::6'],
        ['127.0.0.1', undefined],
        ['::1', undefined],
      ] as const)
        expect(await machine.connect(to, PORT, { uid: UID, localAddress }), to).toBe('direct');
      expect(await machine.connect(address, PORT), 'the application to itself').toBe('direct');
    });

    it('lets connections continue that began before', async () => {
      await machine.ask('turnOff');
      const out = await machine.ask<number>('keep', other.host.address, PORT);
      const back = await other.ask<number>('keep', machine.host.address, PORT);
      await machine.on();
      expect(await machine.ask('ping', out)).toBe('ping');
      expect(await other.ask('ping', back)).toBe('ping');
      const ssh = await other.ask<number>('keep', machine.host.address, 22);
      expect(await other.ask('ping', ssh)).toBe('ping');
    });

    it('redirects queries, but those of the proxy', async () => {
      await machine.ask('answer', CAPTURE_PORTS.dns, 'proxy', '127.0.0.1');
      await machine.ask('answer', CAPTURE_PORTS.dns, 'proxy6', '::1');
      await other.ask('answer', 53, 'real', other.host.address);
      await other.ask('answer', 53, 'real6', other.host.address6);
      const { address, address6 } = other.host;
      await machine.on({ dnsPort: CAPTURE_PORTS.dns });
      expect(await machine.ask('query', address)).toBe('proxy');
      expect(await machine.ask('query', address6)).toBe('proxy6');
      expect(await machine.ask('query', address, UID)).toBe('real');
      expect(await machine.ask('query', address6, UID)).toBe('real6');
      await machine.ask('listen', CAPTURE_PORTS.dns, '127.0.0.1');
      expect(await machine.connect(address, 53), 'over TCP').toBe('direct');
      await machine.on({ dnsPort: CAPTURE_PORTS.dns, dnsServers: ['192.0.2.53'] });
      expect(await machine.ask('query', address)).toBe('real');
      expect(await machine.ask('query', '192.0.2.53')).toBe('proxy');
    });

    it('takes a trial back, to what was captured before it', async () => {
      await machine.on({ outbound: { excludePorts: [80] } });
      const trial = await machine.on({}, { trialSeconds: 60 });
      expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
      expect(await machine.ask('rollBack', 'another')).toBe(false);
      expect(await machine.ask('rollBack', trial)).toBe(true);
      expect((await machine.ask<CaptureState>('show')).options).toEqual(
        optionsOf({ outbound: { excludePorts: [80] } }),
      );
      const second = await machine.on({}, { trialSeconds: 60 });
      await machine.ask('confirm');
      expect(await machine.ask('rollBack', second)).toBe(false);
      await expect(machine.ask('confirm')).rejects.toThrow('nothing waits');
    });
  });

  describe('without a proxy', () => {
    let machine: Driver;
    const down = { outbound: { withoutProxy: 'open' } } as const;

    beforeAll(async () => {
      machine = net.machine();
      // The application listens on the workload's port.
      await machine.ask('listen', PORT, '::');
    });

    it('keeps inbound ports shut, and outbound ones', async () => {
      await machine.on();
      expect(await other.connect(machine.host.address, PORT)).toBe('ECONNREFUSED');
      expect(await other.connect(machine.host.address6, PORT)).toBe('ECONNREFUSED');
      expect(await machine.connect(other.host.address, PORT)).toBe('ECONNREFUSED');
      // A local listener of the same port is not what was called.
      expect(await machine.connect(NOWHERE6, PORT)).toBe('ECONNREFUSED');
      // Another program removed the routing rule, as systemd-networkd does with rules that are not its own.
      show(machine.host, 'ip', 'rule', 'del', 'pref', '150');
      expect(await machine.connect(other.host.address, PORT, { limitMs: 700 })).toBe('LATE');
      const { findings } = await machine.ask<CaptureState>('show');
      expect(findings.map(({ severity, message }) => `${severity}: ${message}`)).toEqual([
        'error: the routing rule or table of captured packets is missing',
      ]);
      await machine.on();
      expect(await machine.connect(other.host.address, PORT)).toBe('ECONNREFUSED');
    });

    it('opens outbound where that is chosen, and captures again once a proxy listens', async () => {
      await machine.on({ ...down, dnsPort: CAPTURE_PORTS.dns });
      expect(await machine.connect(other.host.address, PORT)).toBe('direct');
      expect(await machine.connect(other.host.address6, PORT)).toBe('direct');
      expect(await other.connect(machine.host.address, PORT)).toBe('ECONNREFUSED');
      await other.ask('answer', 53, 'real', other.host.address);
      await until('a query passes', async () => (await machine.ask('query', other.host.address)) === 'real');
      await net.proxy(machine.host, 'node');
      await until('it captures', async () => (await machine.connect(other.host.address, PORT)) === 'outbound');
      expect(await other.connect(machine.host.address, PORT)).toBe('inbound');
    });
  });

  it('captures on a host that has IPv6 alone', async () => {
    const machine = net.machine();
    const { host } = machine;
    show(
      host,
      'sh',
      '-c',
      `ip addr del ${host.address}/24 dev $(ip -o addr show to ${host.address} | awk '{print $2}')`,
    );
    expect(show(host, 'ip', '-4', 'route')).toBe('');
    await machine.on();
    await net.proxy(host, 'node');
    expect(await machine.connect(NOWHERE6, 80)).toBe('outbound6');
    expect(await other.connect(host.address6, PORT)).toBe('inbound6');
    const { findings } = await machine.ask<CaptureState>('show');
    expect(findings).toEqual([]);
  });

  it('works beside the rules of Docker, which stay as they are', async () => {
    const machine = net.machine();
    const { host } = machine;
    const container = net.driver(net.network.add());
    const rules = `${ROOT}/tests/machine/docker-like.sh`;
    const made = show(host, 'sh', rules, container.host.namespace);
    expect(made).toBe('');
    await container.ask('listen', 80, '0.0.0.0');
    const tables = () => ['nat', 'filter'].map((table) => show(host, 'nft', '-s', 'list', 'table', 'ip', table)).join();
    const docker = tables();
    await machine.on({ outbound: { excludeInterfaces: ['docker0', 'br-*'] } });
    await net.proxy(host, 'node');
    expect(tables()).toBe(docker);
    expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
    expect(await other.connect(host.address, PORT)).toBe('inbound');
    expect(await other.connect(host.address, 8000), 'a published port').toBe('direct');
    expect(await container.connect(other.host.address, PORT), 'a container, masqueraded').toBe('direct');
    expect(await machine.connect('172.17.0.2', 80), 'the host to a container').toBe('direct');
    await machine.ask('turnOff');
    expect(tables()).toBe(docker);
  });
});
