/** The HTTP/2 upstreams of the benchmark on a socket: plain answers, gRPC unary and streaming, a source and a sink of bytes. */
import type net from 'node:net';
import { data, headers, PREFACE, trailers } from '../../kit/http2/frames.ts';
import type { Field } from '../../kit/http2/hpack.ts';
import type { UpstreamOptions } from '../upstreams.ts';
import { Http2Connection, type Http2Owner } from './connection.ts';

const grpcHead: Field[] = [
  [':status', '200'],
  ['content-type', 'application/grpc'],
];
const grpcEnd: Field[] = [
  ['grpc-status', '0'],
  ['grpc-message', ''],
];

/** What an upstream does with a request; both are called with what came. */
interface Service {
  onRequest?(connection: Http2Connection, stream: number): void;
  onData?(connection: Http2Connection, stream: number, length: number): void;
  onWhole?(connection: Http2Connection, stream: number): void;
}

function services(bytes: number): Record<string, Service> {
  const body = Buffer.alloc(bytes, 'x');
  const message = Buffer.alloc(5 + bytes);
  message.writeUInt32BE(bytes, 1);
  const head: Field[] = [
    [':status', '200'],
    ['content-type', 'text/plain'],
    ['content-length', String(bytes)],
  ];
  return {
    h2: {
      onWhole: (connection, stream) => {
        connection.send(headers(stream, head));
        connection.sendSmall(stream, body, true, () => connection.forget(stream));
      },
    },
    grpc: {
      onWhole: (connection, stream) => {
        connection.send(headers(stream, grpcHead));
        connection.sendSmall(stream, message, false, () => {
          connection.send(trailers(stream, grpcEnd));
          connection.forget(stream);
        });
      },
    },
    'grpc-stream': {
      onRequest: (connection, stream) => connection.send(headers(stream, grpcHead)),
      onData: (connection, stream, length) => {
        for (let left = length; left > 0; left -= message.length)
          connection.sendSmall(stream, message.subarray(0, Math.min(left, message.length)), false);
      },
      onWhole: (connection, stream) => connection.send(trailers(stream, grpcEnd)),
    },
    'h2-source': {
      onWhole: (connection, stream) => {
        connection.send(headers(stream, [[':status', '200']]));
        connection.pump(stream);
      },
    },
    'h2-sink': {
      onWhole: (connection, stream) => connection.send(headers(stream, [[':status', '200']]), data(stream, '', true)),
    },
  };
}

/** Serves one connection. */
export function serveHttp2(socket: net.Socket, options: UpstreamOptions): void {
  const service = services(options.bytes)[options.kind]!;
  const ended = (stream: number, end: boolean) => {
    if (end) service.onWhole?.(connection, stream);
  };
  const owner: Http2Owner = {
    onHead: (stream, _block, end) => {
      service.onRequest?.(connection, stream);
      ended(stream, end);
    },
    onData: (stream, length, end) => {
      if (length > 0) service.onData?.(connection, stream, length);
      ended(stream, end);
    },
    onReset: (stream) => connection.forget(stream),
  };
  const connection = new Http2Connection(socket, owner, PREFACE.length);
  connection.begin();
}
