/** What binds evidence to a certificate request (shared/join/possession.ts), where the request can be read. */
import { Refusal } from './proof.ts';

/** @throws Refusal unproved where the text is not one certificate request in PEM */
export async function boundTo<T>(csr: string, binding: (csr: string) => Promise<T>): Promise<T> {
  try {
    return await binding(csr);
  } catch (error) {
    throw new Refusal('unproved', `csr: ${(error as Error).message}`);
  }
}
