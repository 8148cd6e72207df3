import { expect, it, vi } from 'vitest';
import { type HostNames, watchHostNames } from './host-names.ts';

it('continues after the names of the host could not be read', async () => {
  let names = (): HostNames => ({ addresses: ['192.0.2.1'] });
  const renew = vi.fn(() => Promise.resolve());
  const lines: string[] = [];
  const stop = watchHostNames({ names: () => names(), everyMs: 1, renew, log: (line) => lines.push(line) });
  try {
    names = () => {
      throw new Error('too many open files');
    };
    const failed = 'certificate not made for the new names of this host: too many open files';
    await vi.waitFor(() => expect(lines).toContain(failed));
    expect(renew).not.toHaveBeenCalled();
    names = () => ({ addresses: ['192.0.2.2'] });
    await vi.waitFor(() => expect(lines.at(-1)).toContain('the certificate is made again for 192.0.2.2'));
    expect(renew).toHaveBeenCalledTimes(1);
  } finally {
    stop();
  }
});
