"""Operations that make networks fast: linear maps in float32, sentences without their padding."""
