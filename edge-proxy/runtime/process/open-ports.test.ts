import { describe, expect, it } from 'vitest';
import { LINUX } from '../../../tests/kit/environment.ts';
import { Program } from '../../../tests/kit/process.ts';
import { openPorts, openSockets } from './open-ports.ts';

const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const line = (address: string, state: string, inode: number) =>
  `   0: ${address} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0000000000000000 100 0 0 10 0`;

describe('openSockets', () => {
  it('reads addresses of both families, and leaves loopback and connections out', () => {
    const text = [
      HEAD,
      line('00000000:1F40', '0A', 1),
      line('0100007F:1F41', '0A', 2),
      line('0A03007F:1F42', '0A', 3),
      line('0501A8C0:1F43', '0A', 4),
      line('0501A8C0:1F43', '01', 5),
      line('00000000000000000000000000000000:0050', '0A', 6),
      line('00000000000000000000000001000000:0050', '0A', 7),
      line('0000000000000000FFFF00000100007F:0050', '0A', 8),
      line('B80D0120000000000000000001000000:0050', '0A', 9),
      '',
    ].join('\n');
    expect(openSockets(text)).toEqual([
      { inode: '1', at: '0.0.0.0:8000' },
      { inode: '4', at: '192.168.1.5:8003' },
      { inode: '6', at: '[::]:80' },
      { inode: '9', at: '[2001:db8:0:0:0:0:0:1]:80' },
    ]);
    expect(openSockets('')).toEqual([]);
  });
});

describe.skipIf(!LINUX)('openPorts', () => {
  it('finds those of descendants, and no others', async () => {
    const listen = `const server = require('node:net').createServer().listen(0, process.argv[1], () => console.log(server.address().port));`;
    const child = `
      const child = process.getBuiltinModule('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(listen)}, '0.0.0.0'], { stdio: 'inherit' });
      process.on('SIGTERM', () => { child.kill('SIGKILL'); process.exit(0); });`;
    const parent = new Program('parent', [process.execPath, '-e', child]);
    const loopback = new Program('loopback', [process.execPath, '-e', listen, '127.0.0.1']);
    try {
      const [port] = await Promise.all([parent, loopback].map((one) => one.line((line) => line.trim())));
      expect(await openPorts(parent.process.pid!)).toEqual([`0.0.0.0:${port}`]);
      expect(await openPorts(loopback.process.pid!)).toEqual([]);
      expect(await openPorts(0x7fffffff)).toEqual([]);
    } finally {
      await Promise.all([parent.stop(), loopback.stop()]);
    }
  });
});
