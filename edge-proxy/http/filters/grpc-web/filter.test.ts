import { afterEach, describe, expect, it } from 'vitest';
import { framedMessage } from '../../grpc/message-reader.ts';
import { closeAll, forward, type Setup, setup } from '../../testing/manager.ts';
import { createGrpcWebFilter } from './filter.ts';

afterEach(closeAll);

const message = Buffer.from(framedMessage(Buffer.from('hello')));
const trailers = Buffer.from('grpc-status:0\r\ngrpc-message:ok\r\n');
const trailersFrame = Buffer.concat([Buffer.from([0x80, 0, 0, 0, trailers.length]), trailers]);
const text = (bytes: Buffer) => bytes.toString('base64');
const binary = (bytes: Buffer) => bytes.toString('latin1');
const chunk = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n`;

function manager(more: Setup = {}) {
  const counted: string[] = [];
  const counter = (cluster: string, name: string) => {
    counted.push(`${cluster} ${name}`);
    return { value: 0 };
  };
  const filter = { ...createGrpcWebFilter({ counter }), name: 'grpc-web' };
  return { counted, ...setup({ route: forward(), ...more, options: { filters: [filter] } }) };
}

const post = (type: string, body: string, more = '') =>
  `POST /a.Svc/Get HTTP/1.1\r\nHost: h\r\nContent-Type: ${type}\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
const answer = (
  pieces: string[],
  fields = 'Content-Type: application/grpc\r\n',
  end = 'grpc-status: 0\r\ngrpc-message: ok\r\n',
) => `HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n${pieces.map(chunk).join('')}0\r\n${end}\r\n`;
/** Joins the chunks of a whole message. */
function bodyOf(response: string): string {
  let rest = response.slice(response.indexOf('\r\n\r\n') + 4);
  let out = '';
  for (;;) {
    const size = Number.parseInt(rest, 16);
    if (!(size > 0)) return out;
    const at = rest.indexOf('\r\n') + 2;
    out += rest.slice(at, at + size);
    rest = rest.slice(at + size + 2);
  }
}

describe('gRPC-Web', () => {
  it.each([
    ['application/grpc-web', '', binary],
    ['application/grpc-web+proto', '', binary],
    ['application/grpc-web-text', 'Accept: application/grpc-web-text\r\n', text],
    ['application/grpc-web-text+proto', 'Accept: application/grpc-web-text+proto\r\n', text],
  ] as const)('%s becomes gRPC, and its response gRPC-Web', async (type, accept, form) => {
    const { connect, backend, counted, finished } = manager();
    const client = connect();
    client.send(post(type, form(message), accept));
    const server = await backend();
    const asked = await server.saw('hello');
    expect(asked).toContain('content-type: application/grpc\r\n'.replace('c', 'C').replace('-t', '-T'));
    expect(asked.toLowerCase()).toContain('te: trailers\r\n');
    expect(asked).toContain('grpc-accept-encoding: identity\r\n');
    server.send(answer([binary(message).slice(0, 7), binary(message).slice(7) + binary(message)]));
    const got = await client.saw('0\r\n\r\n');
    const isText = form === text;
    expect(got.toLowerCase()).toContain(`content-type: application/grpc-web${isText ? '-text' : ''}+proto\r\n`);
    expect(bodyOf(got)).toBe(
      isText
        ? text(message) + text(message) + text(trailersFrame)
        : binary(Buffer.concat([message, message, trailersFrame])),
    );
    expect(counted).toEqual(['c grpc-web.a.Svc.Get.0', 'c grpc-web.a.Svc.Get.success', 'c grpc-web.a.Svc.Get.total']);
    // The log has the trailers, though the client was sent none.
    expect(finished[0]!.responseTrailers?.get('grpc-message')).toBe('ok');
  });

  it('leaves other requests, and their trailers, as they are', async () => {
    const { connect, backend, counted } = manager();
    const client = connect();
    client.send(post('application/grpc', 'xyz', 'TE: trailers\r\n'));
    const server = await backend();
    expect(await server.saw('xyz')).toContain('application/grpc\r\n');
    server.send(answer(['abc']));
    expect(bodyOf(await client.saw('0\r\n\r\n'))).toBe('abc');
    expect(counted).toEqual([]);
  });

  it('text that comes in pieces of any size', async () => {
    const { connect, backend } = manager();
    const client = connect();
    const body = text(message);
    client.send(
      `POST /a/b HTTP/1.1\r\nHost: h\r\nContent-Type: application/grpc-web-text\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const server = await backend();
    for (const piece of [body.slice(0, 2), body.slice(2, 7), body.slice(7)]) {
      client.send(chunk(piece));
      await new Promise((done) => setImmediate(done));
    }
    client.send('0\r\n\r\n');
    expect(bodyOf(await server.saw('0\r\n\r\n'))).toBe(binary(message));
  });

  it.each([
    ['of a wrong length', 'AAAAA', 'grpc_base_64_decode_failed_bad_size'],
    ['that is none', 'A!AA', 'grpc_base_64_decode_failed'],
  ])('base64 %s is refused', async (_, body, details) => {
    const { connect, finished } = manager();
    const client = connect();
    client.send(post('application/grpc-web-text', body));
    const got = await client.saw('\r\n\r\n');
    expect(got).toMatch(/^HTTP\/1.1 400 /);
    expect(got).toContain('grpc-status: 13\r\n');
    expect(got).toContain('grpc-message: Bad gRPC-web request, invalid base64 data.\r\n');
    expect(finished[0]!.details).toBe(details);
  });

  it('a response that is its head alone has its status there', async () => {
    const { connect, backend } = manager();
    const client = connect();
    client.send(post('application/grpc-web', binary(message)));
    (await backend()).send(
      'HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\ngrpc-status: 5\r\nContent-Length: 0\r\n\r\n',
    );
    const got = await client.saw('\r\n\r\n');
    expect(got).toContain('grpc-status: 5\r\n');
    expect(got).toContain('application/grpc-web+proto\r\n');
  });

  it('a response that is not gRPC becomes a status and its message', async () => {
    const { connect, backend } = manager();
    const client = connect();
    client.send(post('application/grpc-web', binary(message)));
    (await backend()).send(
      'HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 8\r\n\r\nn\u00f6thing%',
    );
    const got = await client.saw('\r\n\r\n');
    expect(got).toMatch(/^HTTP\/1.1 404 /);
    expect(got).toContain('grpc-status: 12\r\n');
    expect(got).toContain('grpc-message: n%F6thing%25\r\n');
    expect(got.endsWith('\r\n\r\n')).toBe(true);
  });

  it('keeps a limited part of a long response that is not gRPC', async () => {
    const { connect, backend } = manager();
    const client = connect();
    client.send(post('application/grpc-web', binary(message)));
    const server = await backend();
    server.send(`HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n${chunk('x'.repeat(20_000))}`);
    const got = await client.saw('\r\n\r\n');
    expect(/grpc-message: (x*)\r\n/.exec(got)?.[1]).toHaveLength(16_384);
    server.send(`${chunk('y'.repeat(100))}0\r\n\r\n`);
    const whole = await client.saw('0\r\n\r\n');
    expect(bodyOf(whole)).toBe('');
  });

  it('an answer made here becomes a status, too', async () => {
    const { connect } = manager({ route: null });
    const client = connect();
    client.send(post('application/grpc-web', binary(message)));
    const got = await client.saw('\r\n\r\n');
    expect(got).toMatch(/^HTTP\/1.1 404 /);
    expect(got).toContain('application/grpc-web+proto\r\n');
  });
});
