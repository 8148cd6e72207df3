/** Capture by iptables, and the command with its roll-back. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CAPTURE_PORTS } from '../../shared/join/capture-ports.ts';
import { HOSTS } from '../kit/hosts.ts';
import { runSync, works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import {
  CapturedNetwork,
  CLI,
  type Driver,
  NOWHERE,
  NOWHERE6,
  type Options,
  PORT,
  show,
  UID,
} from './captured-network.ts';

describe.skipIf(!HOSTS || !works('nft'))('capture', () => {
  let net: CapturedNetwork;
  let other: Driver;

  beforeAll(async () => {
    net = new CapturedNetwork();
    other = net.other;
    await net.listen();
  });

  afterAll(() => net?.close());

  describe.each(['iptables-legacy', 'iptables-nft'] as const)('by %s', (backEnd) => {
    it.skipIf(!works(backEnd))('means the same', async () => {
      const machine = net.machine();
      const { address, address6 } = machine.host;
      await machine.ask('listen', PORT, '::');
      // A second's connection tells "dropped" from "refused".
      const soon = { limitMs: 700 };
      const rules = () => ['iptables', 'ip6tables'].map((name) => show(machine.host, ...savedBy(name, backEnd))).join();
      const apply = (options: Options = {}) => machine.on(options, { backEnd });
      await apply({ dnsPort: CAPTURE_PORTS.dns });
      const first = rules();
      expect(first).toContain('TULLE_INBOUND');
      await apply({ dnsPort: CAPTURE_PORTS.dns });
      expect(rules(), 'a second run changes nothing').toBe(first);
      expect(await other.connect(address, PORT, soon)).toBe('LATE');
      expect(await machine.connect(NOWHERE, 80, soon)).toBe('LATE');
      await apply({ outbound: { withoutProxy: 'open' } });
      expect(await machine.connect(other.host.address, PORT)).toBe('direct');
      expect(await other.connect(address, PORT, soon)).toBe('LATE');

      await machine.ask('turnOff');
      const before = await other.ask<number>('keep', address, PORT);
      await apply({ dnsPort: CAPTURE_PORTS.dns, outbound: { excludePorts: [9090], excludeUids: [4321] } });
      await net.proxy(machine.host, 'node');
      expect(await other.ask('ping', before)).toBe('ping');
      expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
      expect(await machine.connect(NOWHERE6, 80)).toBe('outbound6');
      expect(await other.connect(address, PORT)).toBe('inbound');
      expect(await other.connect(address6, PORT)).toBe('inbound6');
      for (const port of [CAPTURE_PORTS.outbound, CAPTURE_PORTS.inbound])
        expect(await other.connect(address, port, soon)).toBe('LATE');
      for (const from of [{ uid: UID }, { uid: 4321 }])
        expect(await machine.connect(other.host.address, PORT, from)).toBe('direct');
      expect(await machine.connect(other.host.address, 9090)).toBe('direct');
      expect(await machine.connect(address, PORT, { uid: UID })).toBe('inbound');
      expect(await machine.connect(address, PORT, { uid: UID, localAddress: '127.0.0.6' })).toBe('direct');
      await machine.ask('answer', CAPTURE_PORTS.dns, 'proxy', '127.0.0.1');
      expect(await machine.ask('query', '192.0.2.53')).toBe('proxy');

      await apply({ inbound: { includePorts: '*' }, outbound: { includeIPRanges: ['203.0.113.0/24'] } });
      expect(await other.connect(address, 7777)).toBe('inbound');
      expect(await machine.connect(NOWHERE, 80)).toBe('outbound');
      expect(await machine.connect(other.host.address, PORT)).toBe('direct');

      expect(await machine.ask('turnOff')).toBe(true);
      expect(rules()).not.toContain('TULLE');
      expect(show(machine.host, 'ip', 'rule')).not.toContain('15001');
    });
  });

  it('is rolled back by a process that outlives the terminal, unless confirmed', async () => {
    const machine = net.machine();
    const { host } = machine;
    const before = show(host, 'nft', 'list', 'ruleset');
    const on = (...flags: string[]) =>
      show(host, ...CLI, 'capture', 'on', '--proxy-uid', String(UID), '--include-inbound-ports', '8080', ...flags);
    expect(on('--confirm-within', '2')).toMatch(/--confirm.*keeps it/);
    await until('it is rolled back', () => show(host, 'nft', 'list', 'ruleset') === before);
    await until('the timer has ended', () => timers() === '');
    on('--confirm-within', '90');
    expect(show(host, ...CLI, 'capture', 'show')).toMatch(/capture is on \(nft\)\nunconfirmed/);
    expect(show(host, ...CLI, 'capture', 'on', '--confirm')).toMatch('capture is kept');
    await until('the timer has ended', () => timers() === '');
    expect(show(host, ...CLI, 'capture', 'show')).toMatch(/capture is on \(nft\)\noutbound/);
    expect(show(host, ...CLI, 'capture', 'off')).toMatch('capture is off');
    expect(show(host, 'setpriv', '--bounding-set=-net_admin', ...CLI, 'capture', 'off')).toMatch('needs root');
    expect(on('--exclude-outbound-ports', '80x')).toMatch('--exclude-outbound-ports: "80x" is not a port');
  });
});

const savedBy = (name: string, backEnd: string): string[] => [
  ...['sh', '-c', `${name}${backEnd.slice('iptables'.length)}-save | grep -v '^[#:]'`],
];

/** Processes that wait to roll back. */
const timers = (): string => runSync('pgrep', ['-f', `capture roll-back .*`]).out;
