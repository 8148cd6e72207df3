export type RuntimeName = 'node' | 'bun' | 'deno';
/** A Node that runs TypeScript unbuilt (24 or newer). @throws when none is installed */
export function nodeBinary(): string;
export function bunBinary(): string | undefined;
export function denoBinary(): string | undefined;
export function workerdBinary(): string | undefined;
/** Where a program lies: a bundle in the package, its source in a checkout. `path`: from this folder, without extension */
export function program(path: string): string;
/** How to start `script` on a runtime: [command, ...arguments]. @throws when the runtime is absent */
export function runtimeCommand(runtime: RuntimeName, script: string): [string, ...string[]];
/** How to start the proxy on a runtime: [command, ...arguments]. @throws when the runtime is absent */
export function proxyCommand(runtime: RuntimeName): [string, ...string[]];
/** The `tulle` command of this package or checkout. */
export const launcher: string;
