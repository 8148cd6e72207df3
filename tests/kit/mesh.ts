/** A mesh of real processes: control plane, sidecars with their applications, gateways, edge workers. */
export { LoopbackMesh, type Workload, type WorkloadOptions } from '../../deploy/local/mesh.ts';
export { startWorker, startWorkerd, type Workerd } from '../../deploy/worker/workerd.ts';
