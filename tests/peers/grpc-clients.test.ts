/**
 * Other gRPC and HTTP/2 clients through two sidecars with mTLS, on every runtime: grpc-js in all four kinds of calls, grpcurl
 * with reflection, curl without TLS; deadlines, retries, faults and statuses that the proxies make.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type CallOptions,
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { peers } from '../kit/peers.ts';
import { run, works } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';
import { type GrpcMesh, metric, startGrpcMesh } from './grpc-mesh.ts';
import { startReflectionServer } from './reflection-server.ts';

const same = (value: Buffer) => value;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

/** A server of grpc-js; `failures` are the statuses that its next unary calls have. */
async function echoServer() {
  const server = new Server();
  const failures: number[] = [];
  const handlers = {
    Unary: ({ request }: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      const code = failures.shift();
      const trailer = new Metadata();
      trailer.set('x-trailer', 'yes');
      if (code !== undefined) answer({ code, details: 'failed as asked' });
      else answer(null, Buffer.concat([Buffer.from('echo '), request]), trailer);
    },
    Sum: (sum: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      let total = 0;
      sum.on('data', (message: Buffer) => {
        total += message.length;
      });
      sum.on('end', () => answer(null, Buffer.from(String(total))));
    },
    Many: (many: ServerWritableStream<Buffer, Buffer>) => {
      const count = Number(many.request.toString());
      for (let i = 0; i < count; i++) many.write(Buffer.from(`m${i}`));
      many.end();
    },
    Both: (both: ServerDuplexStream<Buffer, Buffer>) => {
      both.on('data', (message: Buffer) => void both.write(message));
      both.on('end', () => both.end());
    },
    Slow: () => {},
  };
  const kinds = {
    Unary: method('Unary', false, false),
    Sum: method('Sum', true, false),
    Many: method('Many', false, true),
    Both: method('Both', true, true),
    Slow: method('Slow', false, false),
  };
  server.addService(kinds, handlers as unknown as UntypedServiceImplementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { port, failures, stop: () => server.forceShutdown() };
}

const within = (ms = 120_000): CallOptions => ({ deadline: Date.now() + ms });

/**
 * Three ends of a call count the same time: the client's own deadline, the caller's sidecar by the route or the client's
 * `grpc-timeout` (504, and so unavailable), and the server's by the `grpc-timeout` that the caller's sends on, as istiod has
 * Envoy do. The first of them answers.
 */
function expectTooSlow({ code, details }: { code: number; details: string }): void {
  if (code === 14) expect(details).toBe('upstream request timeout');
  else expect(code).toBe(4);
}

describe.each(RUNTIMES)('grpc-js through two %s sidecars', (runtime) => {
  let server: Awaited<ReturnType<typeof echoServer>>;
  let mesh: GrpcMesh;
  let client: Client;

  beforeAll(async () => {
    server = await echoServer();
    mesh = await startGrpcMesh(runtime, server.port);
    client = new Client(`${mesh.host}:${mesh.port}`, credentials.createInsecure());
  });
  afterAll(async () => {
    client?.close();
    await mesh?.mesh.stop();
    server?.stop();
  });

  const unary = (text: string, name = 'Unary', ms?: number) =>
    new Promise<{ text?: string; code: number; details: string }>((resolve) => {
      client.makeUnaryRequest(
        `/test.Echo/${name}`,
        same,
        same,
        Buffer.from(text),
        new Metadata(),
        within(ms),
        (error: ServiceError | null, value?: Buffer) =>
          resolve({
            ...(value && { text: value.toString() }),
            code: error?.code ?? 0,
            details: error?.details ?? '',
          }),
      );
    });

  it('unary, many at once over one connection', async () => {
    const asked = await Promise.all(Array.from({ length: 50 }, (_, i) => unary(String(i))));
    expect(asked.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, i) => `echo ${i}`));
  });

  it('client streaming', async () => {
    const total = await new Promise<string>((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        '/test.Echo/Sum',
        same,
        same,
        new Metadata(),
        within(),
        (error, value) => (error ? reject(error) : resolve(value!.toString())),
      );
      for (let i = 0; i < 50; i++) call.write(Buffer.alloc(10_000));
      call.end();
    });
    expect(total).toBe('500000');
  });

  it('server streaming', async () => {
    const call = client.makeServerStreamRequest(
      '/test.Echo/Many',
      same,
      same,
      Buffer.from('500'),
      new Metadata(),
      within(),
    );
    const got: string[] = [];
    for await (const message of call) got.push(String(message));
    expect(got).toEqual(Array.from({ length: 500 }, (_, i) => `m${i}`));
  });

  it('both at once, one message after the other', async () => {
    const call = client.makeBidiStreamRequest('/test.Echo/Both', same, same, new Metadata(), within());
    const got: string[] = [];
    await new Promise<void>((resolve, reject) => {
      call.on('error', reject);
      call.on('data', (message: Buffer) => {
        got.push(message.toString());
        if (got.length < 20) call.write(Buffer.from(String(got.length)));
        else call.end();
      });
      call.on('end', resolve);
      call.write(Buffer.from('0'));
    });
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
  });

  it('a status of the server, and its deadline', async () => {
    server.failures.push(9);
    expect(await unary('x')).toMatchObject({ code: 9, details: 'failed as asked' });
    expectTooSlow(await unary('x', 'Slow', 300));
  });

  it('is retried on unavailable, which is the default, and not on other statuses', async () => {
    server.failures.push(14, 14);
    expect(await unary('again')).toMatchObject({ code: 0, text: 'echo again' });
    server.failures.push(13);
    expect((await unary('x')).code).toBe(13);
    await until('the sidecar has counted', async () => {
      return (await metric(mesh.caller, 'istio_requests_total', 'grpc_response_status="13"')) === 1;
    });
  });

  it('a fault with a gRPC status, then none', async () => {
    const fault = (abort: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: interop }
spec:
  hosts: [interop.default.svc.cluster.local]
  http:
    - ${abort}
      route: [{ destination: { host: interop.default.svc.cluster.local } }]
`;
    await mesh.mesh.apply(fault('fault: { abort: { grpcStatus: RESOURCE_EXHAUSTED, percentage: { value: 100 } } }'));
    await until('calls are aborted', async () => {
      const { code, details } = await unary('x');
      return code === 8 && details === 'fault filter abort';
    });
    await mesh.mesh.apply(fault('timeout: 0.3s'));
    await until('calls pass again', async () => (await unary('x')).code === 0);
    expectTooSlow(await unary('x', 'Slow'));
  });
});

const programs = peers('grpcurl');
const HAS = { h2load: works('h2load'), nghttp: works('nghttp'), curl: works('curl') };
for (const [name, there] of Object.entries(HAS))
  if (!there) console.warn(`skipped: gRPC by ${name} (apt-get install nghttp2-client curl)`);

describe.skipIf(!programs).each(RUNTIMES)('grpcurl with reflection, and curl, through two %s sidecars', (runtime) => {
  const folder = temporaryFolder();
  let server: Awaited<ReturnType<typeof startReflectionServer>>;
  let mesh: GrpcMesh;

  beforeAll(async () => {
    server = await startReflectionServer(folder.path);
    mesh = await startGrpcMesh(runtime, server.port);
  });
  afterAll(async () => {
    await mesh?.mesh.stop();
    server?.stop();
    folder.dispose();
  });

  const grpcurl = async (...args: string[]) => {
    const { code, out, error } = await run(programs!['grpcurl'], ['-plaintext', '-max-time', '90', ...args]);
    if (code !== 0) throw new Error(`${code}: ${error}`);
    return out;
  };
  const at = () => `${mesh.host}:${mesh.port}`;

  it('lists services, and calls them by their descriptors', async () => {
    expect(await grpcurl(at(), 'list')).toBe('test.Hello\n');
    expect(await grpcurl(at(), 'describe', 'test.Hello')).toContain(
      'rpc Repeat ( .test.Words ) returns ( stream .test.Words );',
    );
    const said = JSON.parse(await grpcurl('-d', '{"text":"hi"}', at(), 'test.Hello/Say')) as object;
    expect(said).toEqual({ text: 'you said hi' });
    const repeated = await grpcurl('-d', '{"text":"a","times":3}', at(), 'test.Hello/Repeat');
    expect(repeated.match(/"text": "a"/g)).toHaveLength(3);
    const echoed = await grpcurl('-d', '{"text":"x"}{"text":"y"}', at(), 'test.Hello/Echo');
    expect(echoed.match(/"text": "[xy]"/g)).toEqual(['"text": "x"', '"text": "y"']);
  });

  /** A file with a message of gRPC: Words with text = "hi". */
  const message = () => {
    const file = join(folder.path, 'say.bin');
    writeFileSync(file, Uint8Array.of(0, 0, 0, 0, 4, 0x0a, 2, 0x68, 0x69));
    return file;
  };
  const HEADERS = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];

  it.skipIf(!HAS.h2load)('h2load: many streams on a few connections, each answered', async () => {
    const { out, error } = await run('h2load', [
      ...['-n', '400', '-c', '4', '-m', '16', '-d', message()],
      ...[...HEADERS, `http://${at()}/test.Hello/Say`],
    ]);
    expect(out + error).toContain('400 succeeded, 0 failed, 0 errored, 0 timeout');
  });

  it.skipIf(!HAS.nghttp)('nghttp: the trailers end the stream', async () => {
    const { out } = await run('nghttp', ['-v', '-d', message(), ...HEADERS, `http://${at()}/test.Hello/Say`]);
    const plain = out.replace(/\u001b\[[0-9;]*m/g, '');
    expect(plain).toMatch(
      /recv \(stream_id=13\) grpc-status: 0\n[\s\S]*recv HEADERS frame <[^>]*stream_id=13>\n\s*; END_STREAM/,
    );
  });

  it.skipIf(!HAS.curl)('curl speaks HTTP/2 without TLS, and reads the trailers', async () => {
    const { code, out, error } = await run('curl', [
      ...['-sS', '-i', '--http2-prior-knowledge', '--max-time', '60', '--data-binary', `@${message()}`],
      ...[...HEADERS, `http://${at()}/test.Hello/Say`],
    ]);
    expect([code, error]).toEqual([0, '']);
    expect(out).toMatch(/^HTTP\/2 200/);
    expect(out).toContain('you said hi');
    expect(out).toMatch(/grpc-status: 0/);
  });
});

describe.each(RUNTIMES)('gRPC-Web through two %s sidecars', (runtime) => {
  const folder = temporaryFolder();
  let server: Awaited<ReturnType<typeof startReflectionServer>>;
  let mesh: GrpcMesh;

  beforeAll(async () => {
    server = await startReflectionServer(folder.path);
    mesh = await startGrpcMesh(runtime, server.port, 'GRPC-WEB');
  });
  afterAll(async () => {
    await mesh?.mesh.stop();
    server?.stop();
    folder.dispose();
  });

  /** Words with text = "hi", in a message of gRPC. */
  const MESSAGE = Buffer.from([0, 0, 0, 0, 4, 0x0a, 2, 0x68, 0x69]);
  const call = (method: string, type: string, body: Buffer | string) =>
    fetch(`http://${mesh.host}:${mesh.port}/test.Hello/${method}`, {
      method: 'POST',
      headers: { 'content-type': type, accept: type },
      body,
    });

  it('binary: messages, then a frame with the trailers', async () => {
    const response = await call('Say', 'application/grpc-web+proto', MESSAGE);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/grpc-web+proto']);
    const body = Buffer.from(await response.arrayBuffer());
    expect(body.toString('latin1')).toContain('you said hi');
    const trailers = body.subarray(5 + body.readUInt32BE(1));
    expect([trailers[0], trailers.readUInt32BE(1)]).toEqual([0x80, trailers.length - 5]);
    expect(trailers.toString('latin1')).toContain('grpc-status:0\r\n');
  });

  it('text: each in base64', async () => {
    const response = await call('Say', 'application/grpc-web-text', MESSAGE.toString('base64'));
    expect(response.headers.get('content-type')).toBe('application/grpc-web-text+proto');
    const texts = (await response.text())
      .split(/(?<==)(?!=)/)
      .map((one) => Buffer.from(one, 'base64').toString('latin1'));
    expect(texts.join('')).toMatch(/you said hi[\s\S]*grpc-status:0\r\n/);
  });

  it('an error is a status', async () => {
    const response = await call('Unknown', 'application/grpc-web', MESSAGE);
    const body = Buffer.from(await response.arrayBuffer()).toString('latin1');
    expect(response.headers.get('grpc-status') ?? /grpc-status:(\d+)/.exec(body)?.[1]).toBe('12');
  });
});
