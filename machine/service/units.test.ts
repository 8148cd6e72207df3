import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runSync, works } from '../../tests/kit/process.ts';
import { applicationDropIn, captureSockets, captureUnit, controlUnit, proxyUnit, type Unit } from './units.ts';

const ANALYZE = works('systemd-analyze');
if (!ANALYZE) console.warn('skipped: systemd-analyze is not installed');
const folder = mkdtempSync(join(tmpdir(), 'tulle-units-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const service = {
  command: ['/bin/true', 'proxy', '--labels', 'a=b c,d=100%', '--name', '$HOME "quoted"'],
  reload: ['/bin/true', 'hot-restart'],
  user: 'root',
  capture: true,
  ipv6: true,
  inHome: false,
  stopSeconds: 5,
};

describe.skipIf(!ANALYZE)('systemd accepts', () => {
  it.each<[string, Unit[]]>([
    [
      'the units of a captured machine',
      [proxyUnit(service), ...captureSockets(), captureUnit(['/bin/true'], ['/bin/true'])],
    ],
    ['the unit of a machine without capture', [proxyUnit({ ...service, capture: false, inHome: true })]],
    ['the unit of a control plane', [controlUnit(['/bin/true', 'control'], 'root', false)]],
    ['the unit of a user', [proxyUnit({ ...service, capture: false, user: undefined })]],
    [
      'an application that waits',
      [
        { name: 'app.service', text: `[Service]\nExecStart=/bin/true\n\n${applicationDropIn()}` },
        proxyUnit({ ...service, capture: false }),
      ],
    ],
  ])('%s', (_, units) => {
    const files = units.map(({ name, text }) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    });
    const { code, error } = runSync('systemd-analyze', ['verify', '--man=no', ...files]);
    const own = error.split('\n').filter((line) => line.includes(folder) || /tulle-|app\.service/.test(line));
    expect(own).toEqual([]);
    expect(code).toBe(0);
  });

  it('says so where a unit is wrong', () => {
    const file = join(folder, 'wrong.service');
    writeFileSync(
      file,
      proxyUnit({ ...service, capture: false }).text.replace('ProtectSystem=strict', 'ProtectSystm=strict'),
    );
    expect(runSync('systemd-analyze', ['verify', '--man=no', file]).error).toContain('ProtectSystm');
  });
});

it('names each transparent socket as the proxy looks it up', () => {
  expect(captureSockets().map(({ name }) => name)).toEqual([
    'tulle-proxy-outbound.socket',
    'tulle-proxy-outbound6.socket',
    'tulle-proxy-inbound.socket',
    'tulle-proxy-inbound6.socket',
  ]);
  for (const { text } of captureSockets()) expect(text).toContain('Transparent=yes');
});

it('writes words so that systemd reads the same words', () => {
  const line = proxyUnit(service)
    .text.split('\n')
    .find((one) => one.startsWith('ExecStart='));
  expect(line).toBe('ExecStart=/bin/true proxy --labels "a=b c,d=100%%" --name "$$HOME \\"quoted\\""');
  expect(() => proxyUnit({ ...service, command: ['/bin/true', 'a\nExecStartPost=/bin/false'] })).toThrow('line end');
});

it('gives the proxy no capability with capture, and that to bind low ports without', () => {
  expect(proxyUnit(service).text).toMatch(/^CapabilityBoundingSet=$/m);
  expect(proxyUnit({ ...service, capture: false }).text).toMatch(/^CapabilityBoundingSet=CAP_NET_BIND_SERVICE$/m);
});
