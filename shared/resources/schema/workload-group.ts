/** The schema of WorkloadGroup's spec, field for field (istio.io/latest/docs/reference/config). */
import type { z } from 'zod';
import { atMostOne, integer, list, map, object, string } from './vocabulary.ts';

export const Metadata = object({
  annotations: map(string(), 256),
  labels: map(string(), 256),
});
export type Metadata = z.infer<typeof Metadata>;

export const Exec = object(
  {
    command: list(string({ min: 1 })),
  },
  ['command'],
);
export type Exec = z.infer<typeof Exec>;

export const Grpc = object({
  port: integer({ min: 0, max: 4294967295 }),
  service: string(),
});
export type Grpc = z.infer<typeof Grpc>;

export const HttpHeader = object({
  name: string({ pattern: /^[-_A-Za-z0-9]+$/ }),
  value: string(),
});
export type HttpHeader = z.infer<typeof HttpHeader>;

export const HttpGet = object(
  {
    host: string(),
    httpHeaders: list(HttpHeader),
    path: string(),
    port: integer({ min: 0, max: 4294967295 }),
    scheme: string(),
  },
  ['port'],
);
export type HttpGet = z.infer<typeof HttpGet>;

export const TcpSocket = object(
  {
    host: string(),
    port: integer({ min: 0, max: 4294967295 }),
  },
  ['port'],
);
export type TcpSocket = z.infer<typeof TcpSocket>;

export const Probe = atMostOne(
  object({
    exec: Exec,
    failureThreshold: integer({ min: 0 }),
    grpc: Grpc,
    httpGet: HttpGet,
    initialDelaySeconds: integer({ min: 0 }),
    periodSeconds: integer({ min: 0 }),
    successThreshold: integer({ min: 0 }),
    tcpSocket: TcpSocket,
    timeoutSeconds: integer({ min: 0 }),
  }),
  ['httpGet', 'tcpSocket', 'exec', 'grpc'],
);
export type Probe = z.infer<typeof Probe>;

export const Template = object({
  address: string({ max: 256 }),
  labels: map(string(), 256),
  locality: string({ max: 2048 }),
  network: string({ max: 2048 }),
  ports: map(integer({ min: 0, max: 4294967295 }), 128),
  serviceAccount: string({ max: 253 }),
  weight: integer({ min: 0, max: 4294967295 }),
});
export type Template = z.infer<typeof Template>;

export const WorkloadGroupSpec = object(
  {
    metadata: Metadata,
    probe: Probe,
    template: Template,
  },
  ['template'],
);
export type WorkloadGroupSpec = z.infer<typeof WorkloadGroupSpec>;
