import { describe, expect, it } from 'vitest';
import { ControlError, type ControlResponse, NotConnectedError } from './control-client.ts';
import { ControlPlanes } from './control-planes.ts';

type Outcome = number | Error;

/** Control planes a, b, c …, each with what happens to a request. */
function setup(...outcomes: Outcome[]) {
  const asked: string[] = [];
  const lines: string[] = [];
  const closed: string[] = [];
  const addresses = outcomes.map((_, index) => {
    const name = String.fromCharCode(97 + index);
    const request = async (method: string, path: string): Promise<ControlResponse> => {
      asked.push(`${name} ${method} ${path}`);
      const outcome = outcomes[index]!;
      if (typeof outcome !== 'number') throw outcome;
      return { status: outcome, body: name };
    };
    return { url: `https://${name}`, client: { request, close: () => void closed.push(name) } };
  });
  const planes = new ControlPlanes(addresses, (line) => lines.push(line));
  return { outcomes, asked, lines, closed, planes, ask: () => planes.request('POST', '/x', {}) };
}
const down = (name: string) => new NotConnectedError(`control plane ${name}: refused`);

describe('ControlPlanes', () => {
  it('uses the first, and after it cannot be connected to the next, at once, and stays there', async () => {
    const { outcomes, asked, lines, closed, ask } = setup(200, 200, 200);
    expect((await ask()).body).toBe('a');
    outcomes[0] = down('a');
    expect((await ask()).body).toBe('b');
    outcomes[0] = 200;
    expect((await ask()).body).toBe('b');
    expect(asked).toEqual(['a', 'a', 'b', 'b'].map((name) => `${name} POST /x`));
    expect(lines).toEqual(['control plane: https://b is used instead of https://a: control plane a: refused']);
    expect(closed).toEqual(['a']);
  });

  it('comes round to the first again', async () => {
    const { outcomes, lines, ask } = setup(200, 200);
    outcomes[0] = down('a');
    await ask();
    [outcomes[0], outcomes[1]] = [200, down('b')];
    expect((await ask()).body).toBe('a');
    expect(lines[1]).toBe('control plane: https://a is used instead of https://b: control plane b: refused');
  });

  it('does not repeat a request that may have been acted on: the next request goes to the next', async () => {
    const { outcomes, asked, lines, ask } = setup(new ControlError('control plane a: cut'), 200);
    await expect(ask()).rejects.toThrow('control plane a: cut');
    expect((await ask()).body).toBe('b');
    outcomes[1] = 503;
    expect(await ask()).toEqual({ status: 503, body: 'b' });
    outcomes[0] = 200;
    expect((await ask()).body).toBe('a');
    expect(asked).toHaveLength(4);
    expect(lines[1]).toBe('control plane: https://a is used instead of https://b: it answered 503');
  });

  it('says what is wrong with each where none can be connected to, asks each once, and logs nothing of it', async () => {
    const { outcomes, asked, lines, ask } = setup(down('a'), down('b'), down('c'));
    for (let round = 0; round < 2; round++)
      await expect(ask()).rejects.toThrow(
        new NotConnectedError('control plane a: refused; control plane b: refused; control plane c: refused'),
      );
    expect(asked).toHaveLength(6);
    expect(lines).toEqual([]);
    outcomes[0] = 200;
    expect((await ask()).body).toBe('a');
    expect(lines).toEqual([]);
  });

  it('asks each once also while other requests change the current one', async () => {
    const asked: string[] = [];
    const pending: (() => void)[] = [];
    const addresses = ['a', 'b', 'c'].map((name) => {
      const request = (_method: string, path: string) => {
        asked.push(`${name}${path}`);
        return new Promise<ControlResponse>((_, reject) => pending.push(() => reject(down(name))));
      };
      return { url: `https://${name}`, client: { request, close() {} } };
    });
    const planes = new ControlPlanes(addresses, () => {});
    const failNext = async (at: number) => {
      pending.splice(at, 1)[0]!();
      for (let i = 0; i < 5; i++) await Promise.resolve();
    };
    const both = Promise.allSettled([planes.request('GET', '1'), planes.request('GET', '2')]);
    // The second is at b when the first has come round to a.
    for (const at of [1, 0, 1, 1, 0, 0]) await failNext(at);
    await both;
    expect(asked.filter((one) => one.endsWith('1'))).toEqual(['a1', 'b1', 'c1']);
    expect(asked.filter((one) => one.endsWith('2'))).toEqual(['a2', 'b2', 'c2']);
  });

  it.each([400, 401, 403, 404, 429])('stays where it is answered %i', async (status) => {
    const { asked, ask } = setup(status, 200);
    await ask();
    await ask();
    expect(asked).toEqual(['a POST /x', 'a POST /x']);
  });

  it('hands over an abort, and errors that are not of the connection, without another attempt', async () => {
    const { asked, ask } = setup(new Error('stopped'), 200);
    await expect(ask()).rejects.toThrow('stopped');
    await expect(ask()).rejects.toThrow('stopped');
    expect(asked).toEqual(['a POST /x', 'a POST /x']);
  });

  it('moves by one address when several requests fail together', async () => {
    const { asked, ask } = setup(new ControlError('control plane a: cut'), 200, 200);
    await Promise.allSettled([ask(), ask(), ask()]);
    expect((await ask()).body).toBe('b');
    expect(asked).toHaveLength(4);
  });

  it('keeps to a single one', async () => {
    const { asked, closed, lines, planes, ask } = setup(503);
    await ask();
    await ask();
    expect([asked.length, closed, lines]).toEqual([2, [], []]);
    planes.close();
    expect(closed).toEqual(['a']);
  });

  it('learns further control planes, keeps the given ones and the one in use, and takes https alone', async () => {
    const { outcomes, asked, closed, planes, ask } = setup(200);
    const made: string[] = [];
    const make = (url: string) => {
      made.push(url);
      const name = url.slice('https://'.length);
      const request = async (): Promise<ControlResponse> => {
        asked.push(name);
        return { status: 200, body: name };
      };
      return { url, client: { request, close: () => void closed.push(name) } };
    };
    planes.learn(['https://a', 'https://c', 'http://d', 'no url', 'https://c/'], make);
    expect(made).toEqual(['https://c']);
    expect((await ask()).body).toBe('a');
    outcomes[0] = down('a');
    expect((await ask()).body).toBe('c');
    // It has left, as it says itself; it is used until it fails.
    planes.learn(['https://e'], make);
    expect((await ask()).body).toBe('c');
    planes.learn(['https://e', 'https://c'], make);
    expect(made).toEqual(['https://c', 'https://e']);
    expect(closed).toEqual(['a']);
  });
});
