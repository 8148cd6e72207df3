import { describe, expect, it } from 'vitest';
import { descriptorsAt, readInheritedSockets } from './inherited-sockets.ts';

const read = (environment: Record<string, string>) => readInheritedSockets(environment, 77);

describe('inherited sockets', () => {
  it('are those of TULLE_LISTEN_FDS, before those of systemd', () => {
    expect(read({ TULLE_LISTEN_FDS: 'outbound=3,inbound6=9', LISTEN_FDS: '1', LISTEN_FDNAMES: 'x' })).toEqual({
      outbound: 3,
      inbound6: 9,
    });
  });

  it('are those of LISTEN_FDS, by their names, where LISTEN_PID is this process or absent', () => {
    const systemd = { LISTEN_FDS: '2', LISTEN_FDNAMES: 'inbound:outbound' };
    expect(read(systemd)).toEqual({ inbound: 3, outbound: 4 });
    expect(read({ ...systemd, LISTEN_PID: '77' })).toEqual({ inbound: 3, outbound: 4 });
    expect(read({ ...systemd, LISTEN_PID: '78' })).toBeUndefined();
  });

  it('are none without variables, or with empty ones', () => {
    expect(read({})).toBeUndefined();
    expect(read({ TULLE_LISTEN_FDS: '', LISTEN_FDS: '' })).toBeUndefined();
  });

  it.each([
    [{ TULLE_LISTEN_FDS: 'outbound' }, 'TULLE_LISTEN_FDS: "outbound" must be NAME=N, N from 3 to 63'],
    [{ TULLE_LISTEN_FDS: 'outbound=2' }, 'N from 3 to 63'],
    [{ TULLE_LISTEN_FDS: 'outbound=64' }, 'N from 3 to 63'],
    [{ TULLE_LISTEN_FDS: 'outbound=3,' }, 'TULLE_LISTEN_FDS: "" must be NAME=N'],
    [{ TULLE_LISTEN_FDS: 'outbound=3 ,inbound=4' }, 'must be NAME=N'],
    [{ TULLE_LISTEN_FDS: 'web=3' }, '"web" is not known: must be of outbound, outbound6, inbound, inbound6'],
    [{ TULLE_LISTEN_FDS: 'constructor=3' }, '"constructor" is not known'],
    [{ TULLE_LISTEN_FDS: 'outbound=3,outbound=4' }, '"outbound" is given twice'],
    [{ TULLE_LISTEN_FDS: 'outbound=3,inbound=3' }, 'descriptor 3 is given twice'],
    [{ LISTEN_FDS: '0' }, 'LISTEN_FDS=0: must be a number from 1 to 61'],
    [{ LISTEN_FDS: '62', LISTEN_FDNAMES: 'x' }, 'LISTEN_FDS=62: must be'],
    [{ LISTEN_FDS: '1x' }, 'LISTEN_FDS=1x: must be'],
    [{ LISTEN_FDS: '1' }, 'LISTEN_FDNAMES: is required with LISTEN_FDS'],
    [{ LISTEN_FDS: '2', LISTEN_FDNAMES: 'inbound' }, 'LISTEN_FDNAMES=inbound: must have a name for each of the 2'],
    [{ LISTEN_FDS: '1', LISTEN_FDNAMES: 'unknown' }, 'LISTEN_FDNAMES: "unknown" is not known'],
  ])('%j is refused', (environment, reason) => {
    expect(() => read(environment as Record<string, string>)).toThrow(reason);
  });

  it('are found by the port at which they listen, IPv4 first', () => {
    const sockets = { outbound6: 3, inbound: 4, outbound: 5 };
    expect(descriptorsAt(sockets, 15001)).toEqual([5, 3]);
    expect(descriptorsAt(sockets, 15006)).toEqual([4]);
    expect(descriptorsAt(sockets, 80)).toEqual([]);
    expect(descriptorsAt(undefined, 15001)).toEqual([]);
  });
});
