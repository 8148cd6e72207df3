/** The schema of WorkloadGroup's spec, field for field (istio.io/latest/docs/reference/config/networking/workload-group). */
import type { z } from 'zod';
import { WorkloadTemplate } from './common.ts';
import * as rules from './rules/rules.ts';
import { atMostOne, integer, list, map, object, string, withRules } from './vocabulary.ts';

const port = () => withRules(integer({ min: 0, max: 4294967295 }), rules.port);
const count = () => integer({ min: 0 });

export const Metadata = object({
  annotations: map(string(), 256).describe('Annotations of every WorkloadEntry made.'),
  labels: map(string(), 256).describe('Labels of every WorkloadEntry made.'),
});
export type Metadata = z.infer<typeof Metadata>;

export const Exec = object(
  {
    command: list(string({ min: 1 })).describe(
      'The command and its arguments, without a shell; exit code 0 is healthy.',
    ),
  },
  ['command'],
);
export type Exec = z.infer<typeof Exec>;

export const Grpc = object({
  port: port().describe('Port to call, 1 to 65535.'),
  service: string().describe('Name of the service to check. Default: the server as a whole.'),
});
export type Grpc = z.infer<typeof Grpc>;

export const HttpHeader = object({
  name: string({ pattern: /^[-_A-Za-z0-9]+$/ }).describe('Name of the header.'),
  value: string().describe('Its value.'),
});
export type HttpHeader = z.infer<typeof HttpHeader>;

export const HttpGet = object(
  {
    host: string().describe('Host to connect to. Default: the workload itself.'),
    httpHeaders: list(HttpHeader).describe('Headers of the request.'),
    path: string().describe('Path of the request. Default: /.'),
    port: port().describe('Port to connect to, 1 to 65535.'),
    scheme: withRules(string(), rules.probeScheme).describe('HTTP or HTTPS. Default: HTTP.'),
  },
  ['port'],
);
export type HttpGet = z.infer<typeof HttpGet>;

export const TcpSocket = object(
  {
    host: string().describe('Host to connect to. Default: localhost.'),
    port: port().describe('Port to connect to, 1 to 65535.'),
  },
  ['port'],
);
export type TcpSocket = z.infer<typeof TcpSocket>;

export const Probe = atMostOne(
  object({
    exec: Exec.describe('Runs a command.'),
    failureThreshold: count().describe('Failures in a row after which the workload is unhealthy. Default: 3.'),
    grpc: Grpc.describe('Calls the gRPC health service.'),
    httpGet: HttpGet.describe('Sends a GET request; a status from 200 to 399 is healthy.'),
    initialDelaySeconds: count().describe('Seconds from the start of the workload to the first probe. Default: 0.'),
    periodSeconds: count().describe('Seconds between probes. Default: 10.'),
    successThreshold: count().describe('Successes in a row after which the workload is healthy again. Default: 1.'),
    tcpSocket: TcpSocket.describe('Opens a connection.'),
    timeoutSeconds: count().describe('Seconds a probe may take. Default: 1.'),
  }),
  ['httpGet', 'tcpSocket', 'exec', 'grpc'],
);
export type Probe = z.infer<typeof Probe>;

export const WorkloadGroupSpec = object(
  {
    metadata: Metadata.describe('Metadata of every WorkloadEntry made for a workload of the group.'),
    probe: Probe.describe('How the proxy finds out whether its workload is healthy. Default: not looked at.'),
    template: WorkloadTemplate.describe('What every WorkloadEntry begins with; the address comes from the workload.'),
  },
  ['template'],
);
export type WorkloadGroupSpec = z.infer<typeof WorkloadGroupSpec>;
