/**
 * The one place `@peculiar/x509` is imported: it needs `reflect-metadata` evaluated before it, on every runtime.
 */
import 'reflect-metadata';

export * from '@peculiar/x509';
