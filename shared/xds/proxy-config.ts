/**
 * What a proxy process requests from the control plane before it runs anything: the part of its effective ProxyConfig
 * (istio.io/latest/docs/reference/config/istio.mesh.v1alpha1, ProxyConfig) that a process takes at its start.
 * `POST /v1/proxy-config`.
 */
import * as z from 'zod';
import { Node } from './core.ts';
import { duration, messageRequiring } from './message.ts';

export const ProxyConfigRequest = messageRequiring({ node: Node }, ['node']);
export type ProxyConfigRequest = z.infer<typeof ProxyConfigRequest>;

const port = z.int().min(1).max(65535);

/** How a proxy asks its workload whether it is healthy: exactly one question, with Kubernetes' times in seconds. */
export const WorkloadProbe = z.object({
  http: z
    .object({
      address: z.string(),
      port,
      path: z.string(),
      host: z.string(),
      headers: z.array(z.tuple([z.string(), z.string()])),
      /** By HTTPS; the certificate is not verified, as in Kubernetes. */
      tls: z.boolean().optional(),
    })
    .optional(),
  tcp: z.object({ address: z.string(), port }).optional(),
  grpc: z.object({ address: z.string(), port, service: z.string() }).optional(),
  /** A program and its arguments; exit code 0 is healthy. */
  exec: z.object({ command: z.tuple([z.string().min(1)], z.string()) }).optional(),
  initialDelaySeconds: z.int().min(0).max(2147483),
  periodSeconds: z.int().min(1).max(2147483),
  timeoutSeconds: z.int().min(1).max(2147483),
  successThreshold: z.int().min(1),
  failureThreshold: z.int().min(1),
});
export type WorkloadProbe = z.infer<typeof WorkloadProbe>;

/**
 * What a proxy found about its workload: `POST /v1/workload-health`. `draining`: the proxy stops; it is answered once its
 * peers send nothing more to it, or after some seconds.
 */
export const HealthReport = messageRequiring({ node: Node, healthy: z.boolean(), draining: z.boolean() }, [
  'node',
  'healthy',
]);
export type HealthReport = z.infer<typeof HealthReport>;

/** Durations as proto3 JSON has them (`45s`). Unknown fields are dropped: a newer control plane may send more. */
export const ProxyConfigAnswer = z.object({
  /** Worker processes; 0: one for each core; absent: not configured. */
  concurrency: z.int().min(0).max(2147483647).optional(),
  /** Downstream connections of the process; absent: no limit. */
  maxConnections: z.int().min(1).max(2147483647).optional(),
  /** False: metrics are not served compressed; absent: they are, to clients that accept it. */
  statsCompression: z.boolean().optional(),
  /** How long connections of a removed listener stay open. */
  drainDuration: duration().optional(),
  /** How long connections may finish at shutdown. */
  terminationDrainDuration: duration().optional(),
  /** Absent: the health of the workload is not asked. */
  probe: WorkloadProbe.optional(),
});
export type ProxyConfigAnswer = z.infer<typeof ProxyConfigAnswer>;
