// SPDX-License-Identifier: MIT
// Sets the hook of include/tmem/failpoint.h from the environment: TMEM_FAILPOINT=name[:count] ends the process by SIGKILL
// when that place is reached for the count-th time. For crash tests; without the variable nothing happens.
#pragma once

namespace tmem {

void set_failpoint_from_environment();

}  // namespace tmem
