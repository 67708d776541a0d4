//! Emulated TorchServe servers, and the place where the simulator will stand.
