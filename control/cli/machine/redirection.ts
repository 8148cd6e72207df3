/** Redirects the traffic and the names of this machine to its proxy, and puts them back. */
import type { MachineRecord } from '../../../machine/join/record.ts';

export async function redirectHost(_record: MachineRecord): Promise<void> {}
export async function releaseHost(): Promise<void> {}
export const CAN_CAPTURE: boolean = false;
