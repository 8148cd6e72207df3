import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { LINUX } from '../../../tests/kit/environment.ts';
import { heldSockets, served, socketKey } from './held-sockets.ts';
import { placed } from './successor.ts';

it('places descriptors in the order of their numbers, and names them by their new ones', () => {
  expect(placed({ outbound: 4, inbound: 3 }, [25, 3, 21])).toEqual({
    descriptors: [3, 4, 21, 25],
    variables: { TULLE_LISTEN_FDS: 'outbound=4,inbound=3', TULLE_HANDED_SOCKETS: '5,6' },
  });
  expect(placed({ outbound: 7 }, [])).toEqual({ descriptors: [7], variables: { TULLE_LISTEN_FDS: 'outbound=3' } });
  expect(placed({}, [])).toEqual({ descriptors: [], variables: {} });
});

it('reads the addresses of sockets that are served, and of no others', () => {
  const line = (address: string, state: string, inode: number) =>
    `   0: ${address} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1`;
  const text = ['sl', line('0100007F:3AE8', '0A', 1), line('0100007F:3AE8', '01', 2), ''].join('\n');
  expect(served('tcp', text)).toEqual([['1', socketKey('tcp', '127.0.0.1', 15080)]]);
  const six = ['sl', line('00000000000000000000000001000000:3ACD', '07', 3)].join('\n');
  expect(served('udp', six)).toEqual([['3', socketKey('udp', '::1', 15053)]]);
  expect(socketKey('tcp', 'unix:///a', 0)).toBeUndefined();
});

describe.skipIf(!LINUX)('heldSockets', () => {
  it('finds a server of this process', async () => {
    const server = net.createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const key = socketKey('tcp', '127.0.0.1', (server.address() as net.AddressInfo).port);
    expect(heldSockets().filter((socket) => socket.key === key)).toHaveLength(1);
    await new Promise((done) => server.close(done));
    expect(heldSockets().filter((socket) => socket.key === key)).toEqual([]);
  });
});
